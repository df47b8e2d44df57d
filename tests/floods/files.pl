# Open files without end, in processes without end.
$| = 1;
use POSIX ();
my $told;
for (1 .. 50) {
    next if fork;
    # one of them tells
    while (1) {
        next if defined POSIX::open("/dev/null", POSIX::O_RDONLY());
        print "hit: open: $!\n" unless $told++;
        select undef, undef, undef, 0.01;
    }
}
while (1) {
    print "hit: a process that opened files was killed\n" if wait > 0 && !$told++;
    select undef, undef, undef, 0.1;
}
