# Mounts without end, each time twice as many, and then in mount namespaces without end, which copy them all.
$| = 1;
my $arm = `uname -m` =~ /aarch64/;
my ($mount, $unshare) = $arm ? (40, 97) : (165, 272);
my ($bind, $recursive, $private, $newns) = (0x1000, 0x4000, 0x40000, 0x20000);
my ($told, $n, $none, $root) = (0, 0, "none", "/");  # syscall wants strings that it might change
my $top = "/run/flood-mounts";
mkdir $top;
syscall $unshare, $newns;
syscall $mount, $none, $root, 0, $recursive | $private, 0;
system "mount", "-t", "tmpfs", "none", $top;
while (1) {
    my $to = "$top/" . ++$n;
    mkdir $to;
    next if syscall($mount, $top, $to, 0, $bind | $recursive, 0) == 0;
    print "hit: mount: $!\n" unless $told++;
    last;
}
while (1) {
    my $pid = fork // next;
    if (!$pid) {
        syscall $unshare, $newns while 1;
    }
    waitpid $pid, 0;
}
