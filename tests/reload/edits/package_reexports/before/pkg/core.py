LIMIT = 1


class Thing:
    def shown(self):
        return "old"


def make():
    return Thing()
