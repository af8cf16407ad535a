import flask

app: flask.Flask = flask.Flask(__name__)


@app.get("/")
def index():
    return "shop"
