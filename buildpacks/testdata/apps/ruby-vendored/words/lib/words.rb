WORDS = %w[a gem of the repository].freeze
