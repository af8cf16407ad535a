use strict;
use IO::Socket::INET;

$SIG{INT} = sub { print "stopped as asked\n"; exit 0 };
$| = 1;
my $l = IO::Socket::INET->new(LocalPort => $ARGV[0], Listen => 16, ReuseAddr => 1) or die "listen: $!";
open(my $state, '>', 'state') or die "the working directory cannot be written: $!";
while (my $c = $l->accept) {
	while (my $line = <$c>) { last if $line =~ /^\r?$/ }
	my $text = "$ENV{GREETING} " . `cat words color; id -u`;
	print $c "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " . length($text) . "\r\n\r\n$text";
	close $c;
}
