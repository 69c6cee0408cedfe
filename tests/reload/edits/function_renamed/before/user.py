import mod

TABLE = [mod.fetch]


def use(x):
    return mod.fetch(x)
