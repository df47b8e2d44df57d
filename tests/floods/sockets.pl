# Sockets without end: full of bytes that nobody reads, and datagrams to everywhere, of which each is a connection to the host.
$| = 1;
use Socket;
use POSIX ();
my $told;
sub hit { print "hit: socket: $_[0]\n" unless $told++ }
if (!fork) {
    while (1) {
        socket my $out, AF_INET, SOCK_DGRAM, 0 or next;
        my $to = 0xc6120000 + int rand 0x1ffff;    # 198.18.0.0/15, of nobody
        send $out, "x", 0, sockaddr_in(1 + int rand 65535, pack "N", $to) for 1 .. 100;
    }
}
for (1 .. 20) {
    next if fork;
    socket my $server, AF_INET, SOCK_STREAM, 0 or exit;
    bind $server, sockaddr_in(0, INADDR_LOOPBACK);
    listen $server, 1000;
    my $address = getsockname $server;
    my (@all, $bytes);
    while (1) {
        if (!socket my $one, AF_INET, SOCK_STREAM, 0) { hit($!); select undef, undef, undef, 0.01 }
        elsif (!connect $one, $address) { hit($!); select undef, undef, undef, 0.01 }
        elsif (!accept my $other, $server) { hit($!); select undef, undef, undef, 0.01 }
        else {
            setsockopt $_, SOL_SOCKET, SO_SNDBUF, 4 << 20 for $one, $other;
            setsockopt $_, SOL_SOCKET, SO_RCVBUF, 4 << 20 for $one, $other;
            fcntl $one, 4, 2048;    # F_SETFL, O_NONBLOCK
            my $took = 0;
            while (my $n = syswrite $one, "x" x 65536) { $took += $n }
            hit("no more than $took bytes") if $took < 65536;
            push @all, $one, $other;
        }
    }
}
while (1) {
    hit("a process that held sockets was killed") if wait > 0;
    select undef, undef, undef, 0.1;
}
