require "sinatra"
require_relative "greeting"

get "/" do
  "#{Greeting.text} from #{settings.environment}\n"
end
