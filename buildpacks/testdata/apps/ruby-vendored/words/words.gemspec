Gem::Specification.new do |s|
  s.name = "words"
  s.version = "0.1.0"
  s.summary = "words"
  s.authors = ["berth"]
  s.files = Dir["lib/**/*.rb"]
end
