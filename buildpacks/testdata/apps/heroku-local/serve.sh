# A server in shell would be a long one: Perl is in every Debian.
exec perl -MIO::Socket::INET -e '
	my $l = IO::Socket::INET->new(LocalPort => $ENV{PORT}, Listen => 16, ReuseAddr => 1) or die $!;
	while (my $c = $l->accept) {
		while (my $line = <$c>) { last if $line =~ /^\r?$/ }
		my $text = `cat shouted.txt secret.length 2>/dev/null; echo more | shout; printenv GREETED | sed s,^,GREETED=,`;
		print $c "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " . length($text) . "\r\n\r\n$text";
		close $c;
	}'
