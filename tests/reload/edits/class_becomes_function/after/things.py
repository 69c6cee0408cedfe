class _Thing:
    def __init__(self, size):
        self.size = size

    def double(self):
        return self.size * 20


def Thing(size):
    return _Thing(size)
