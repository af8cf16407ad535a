require "socket"
require "bundler/setup"
require "greet"
require "words"

server = TCPServer.new("0.0.0.0", ENV.fetch("PORT"))
trap("TERM") { exit }
loop do
  client = server.accept
  nil until [nil, "\r\n"].include?(client.gets)
  body = "#{Greet.greet}, #{WORDS.join(" ")}, Bundler saw Ruby #{Gem.ruby_version}\n"
  client.write "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: #{body.bytesize}\r\nConnection: close\r\n\r\n#{body}"
  client.close
end
