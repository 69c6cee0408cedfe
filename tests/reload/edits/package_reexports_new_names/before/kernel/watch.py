from . import death


def watch():
    return "watch"
