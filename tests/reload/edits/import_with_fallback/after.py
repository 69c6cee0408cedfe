try:
    import json as codec
except ImportError:
    codec = None

    def dumps(x):
        return f"old {x}"

else:

    def dumps(x):
        return codec.dumps(x)


def save(x):
    return dumps(x)
