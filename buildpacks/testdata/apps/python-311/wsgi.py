import distutils  # gone in 3.12
import sys

from markupsafe import Markup, _speedups


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d.%d %s\n" % (*sys.version_info[:2], _speedups.__name__.encode())]
