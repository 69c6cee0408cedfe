LIMIT = 2
NAMES = ["a", "z"]
EXTRA = 1


class Thing:
    size = 2
    more = 3

    def m(self):
        return self.size * 100
