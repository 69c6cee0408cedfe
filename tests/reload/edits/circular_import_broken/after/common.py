LIMIT = 2
_TABLE = {}


def register(name):
    def put(fn):
        _TABLE[name] = fn
        return fn

    return put


def found(name):
    return _TABLE[name]
