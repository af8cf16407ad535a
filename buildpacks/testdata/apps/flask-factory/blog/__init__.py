"""from django import nothing; app = Flask(__name__) is only a docstring."""
from flask import Flask as F


def create_app(config=None, *, testing=False):
    app = F(__name__)
    app.config["TESTING"] = testing
    from . import views
    app.register_blueprint(views.bp)
    return app
