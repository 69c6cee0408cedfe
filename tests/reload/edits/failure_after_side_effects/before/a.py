LIMIT = 1
NAMES = ["a"]


class Thing:
    size = 1

    def m(self):
        return self.size
