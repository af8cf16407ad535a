import os, sys  # requests is only mentioned here
import yaml
from PIL import Image
from dotenv import load_dotenv
from flask import Flask
from typing import TYPE_CHECKING

import helpers

try:
    import ujson as json
except ImportError:
    import json

if TYPE_CHECKING:
    import numpy

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

text = """
import pandas
app = Flask("in a string")
"""

load_dotenv()
app = Flask(__name__)


@app.get("/")
def index():
    return yaml.safe_dump({"pillow": Image.__name__, "helpers": helpers.NAME})
