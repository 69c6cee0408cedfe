class Inner:
    def __init__(self, n):
        self.n = n

    def value(self):
        return self.n * 10


class Outer:
    Inner = Inner

    def make(self):
        return self.Inner(2)
