use IO::Socket::INET;
my $listener = IO::Socket::INET->new(LocalPort => $ARGV[0], Listen => 5, ReuseAddr => 1) or die "listen: $!";
while (my $client = $listener->accept) {
    while (my $line = <$client>) { last if $line =~ /^\r?$/ }
    my $body = "Hello from a shell script\n";
    print $client "HTTP/1.1 200 OK\r\nContent-Length: " . length($body) . "\r\nConnection: close\r\n\r\n$body";
    close $client;
}
