require "bundler/setup"
require "rails"
require "action_controller/railtie"
require "propshaft"
require "cssbundling-rails"

module Shop
  class Application < Rails::Application
    config.load_defaults 7.2
    config.eager_load = true
    config.hosts.clear
    config.public_file_server.enabled = ENV["RAILS_SERVE_STATIC_FILES"].present?
    config.logger = ActiveSupport::Logger.new($stdout) if ENV["RAILS_LOG_TO_STDOUT"].present?
  end
end
