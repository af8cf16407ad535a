from bottle import Bottle

from lib import text

try:
    import uvloop
except ImportError:
    uvloop = None

app = Bottle()


@app.route("/")
def home():
    return text.shout({"fast": uvloop is not None})
