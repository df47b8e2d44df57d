# Processes without end: every one makes more.
$| = 1;
my ($first, $told) = ($$);
while (1) {
    next if defined fork;
    print "hit: fork: $!\n" if $$ == $first && !$told++;
}
