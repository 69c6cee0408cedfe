class Outer:
    class Inner:
        def __init__(self, n):
            self.n = n

        def value(self):
            return self.n

    def make(self):
        return self.Inner(1)
