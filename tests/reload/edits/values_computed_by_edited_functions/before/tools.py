def scaled(n):
    return n * 1


def maker(n):
    def made():
        return n, 1

    return made


class Service:
    def __init__(self):
        self.level = 1
