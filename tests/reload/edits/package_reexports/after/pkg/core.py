LIMIT = 2


class Thing:
    def shown(self):
        return "new"


def make():
    return Thing()


def extra():
    return 3
