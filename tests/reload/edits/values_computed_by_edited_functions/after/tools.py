def scaled(n):
    return n * 2


def maker(n):
    def made():
        return n, 2

    return made


class Service:
    def __init__(self):
        self.level = 2
