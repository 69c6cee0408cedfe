class Thing:
    def __init__(self, size):
        self.size = size

    def double(self):
        return self.size * 2
