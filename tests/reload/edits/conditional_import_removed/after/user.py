from compat import dumps, fast


def save(value):
    return dumps(value), fast.__name__
