from . import death


def watch():
    return "watch" + death.Watcher.kind


def guard():
    return "guard"
