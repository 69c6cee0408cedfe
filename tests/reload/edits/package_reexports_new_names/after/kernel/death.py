class Watcher:
    kind = "watcher"


def die():
    from kernel import guard, watch

    return ("die", watch(), guard())
