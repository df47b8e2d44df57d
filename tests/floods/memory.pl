# Memory without end, again and again.
$| = 1;
my $told;
while (1) {
    my $pid = fork // next;
    if (!$pid) {
        my @all;
        push @all, "x" x (1 << 20) while 1;
    }
    waitpid $pid, 0;
    print "hit: killed by signal ", $? & 127, "\n" if ($? & 127) && !$told++;
}
