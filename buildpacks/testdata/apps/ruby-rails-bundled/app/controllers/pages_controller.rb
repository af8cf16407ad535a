class PagesController < ActionController::Base
  def show
    render plain: "#{Rails.env}, secret of #{Rails.application.secret_key_base.length}, " \
                  "#{helpers.asset_path("application.css")} #{helpers.asset_path("bundled.css")}\n"
  end
end
