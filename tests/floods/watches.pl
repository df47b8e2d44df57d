# Instances of inotify without end, in processes without end.
$| = 1;
my $arm = `uname -m` =~ /aarch64/;
my $init = $arm ? 26 : 294;
my $told;
for (1 .. 20) {
    next if fork;
    while (1) {
        next if syscall($init, 0) >= 0;
        print "hit: inotify: $!\n" unless $told++;
        select undef, undef, undef, 0.01;
    }
}
while (1) {
    print "hit: a process that held instances was killed\n" if wait > 0 && !$told++;
    select undef, undef, undef, 0.1;
}
