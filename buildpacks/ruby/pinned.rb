
# berth: an app may ask for a patch release, which Bundler takes literally. It
# runs on Debian's of the same series, and Bundler is told the one it asked for.
if ENV["BERTH_RUBY_VERSION"]
  version = Gem::Version.new(ENV["BERTH_RUBY_VERSION"])
  Gem.define_singleton_method(:ruby_version) { version }
end
