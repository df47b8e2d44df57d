# Terminals without end, also of further instances of devpts.
$| = 1;
use POSIX ();
my ($told, $n) = (0, 0);
my $ptmx = "/dev/ptmx";
while (1) {
    next if defined POSIX::open($ptmx, POSIX::O_RDWR() | POSIX::O_NOCTTY());
    # As many as this instance has, or as this process may have open.
    print "hit: terminal: $!\n" unless $told++;
    if (fork) {
        wait;
        select undef, undef, undef, 0.1;
        next;
    }
    # The child goes on with an instance of its own, beside what its parents hold; its open files are counted anew.
    POSIX::close($_) for 3 .. 20000;
    my $dir = "/run/flood-pts" . ++$n;
    mkdir $dir;
    system "mount", "-t", "devpts", "-o", "newinstance,ptmxmode=0666", "none", $dir and sleep 1000;
    $ptmx = "$dir/ptmx";
}
