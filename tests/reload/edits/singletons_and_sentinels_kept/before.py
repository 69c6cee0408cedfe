import threading

MISSING = object()
LOCK = threading.Lock()


class Service:
    def __init__(self, size):
        self.size = size
        self.seen = []

    def note(self, x):
        self.seen.append(x)
        return len(self.seen)


SIZE = 3
SERVICE = Service(SIZE)


def get(x=MISSING):
    return x is MISSING, SERVICE.size
