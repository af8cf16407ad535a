import itsdangerous


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"not locked: %s\n" % itsdangerous.__name__.encode()]
