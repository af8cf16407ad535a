from flask import Flask

app = Flask(__name__)


@app.route("/")
def show():
    return '<link rel="stylesheet" href="/static/app.css">'
