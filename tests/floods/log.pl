# Lines without end: on the console, to the guest's journal, and into a file.
$| = 1;
use Socket;
my $line = "x" x 200 . "\n";
if (!fork) {
    open my $console, ">", "/dev/console" or exit;
    syswrite $console, $line while 1;
}
if (!fork) {
    socket my $log, AF_UNIX, SOCK_DGRAM, 0 or exit;
    connect $log, sockaddr_un("/dev/log") or exit;
    send $log, "<13>flood: $line", 0 while 1;
}
my $told;
while (1) {
    open my $file, ">", "/root/flood.log" or next;
    1 while syswrite $file, $line x 5000;
    print "hit: file: $!\n" unless $told++;
}
