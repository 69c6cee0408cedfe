import threading

MISSING = object()
LOCK = threading.Lock()


class Service:
    def __init__(self, size, name="s"):
        self.size = size
        self.name = name
        self.seen = []

    def note(self, x):
        self.seen.append((x,))
        return self.seen


SIZE = 4
SERVICE = Service(SIZE)


def get(x=MISSING):
    return x is MISSING, SIZE
