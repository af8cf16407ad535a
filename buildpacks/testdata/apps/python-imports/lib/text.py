import yaml

from . import loud


def shout(value):
    return loud.louder(yaml.safe_dump(value))
