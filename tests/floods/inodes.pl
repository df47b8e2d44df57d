# Empty files without end. When there is no more room, the newest thousand go and are made again.
$| = 1;
my ($n, $told) = (0);
my $place = sub { sprintf "/root/flood/%d/%d", $_[0] / 1000, $_[0] };
mkdir "/root/flood";
while (1) {
    mkdir sprintf "/root/flood/%d", $n / 1000 if $n % 1000 == 0;
    if (open my $file, ">", $place->($n)) { $n++; next }
    print "hit: file $n: $!\n" unless $told++;
    for (1 .. 1000) { unlink $place->(--$n) if $n }
}
