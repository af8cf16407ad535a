class CreateItems < ActiveRecord::Migration[7.2]; end
