import json as fast


def dumps(value, indent=None):
    return fast.dumps([value], indent=indent)
