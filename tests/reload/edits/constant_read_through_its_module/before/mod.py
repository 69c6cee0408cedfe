import config

DOUBLE = config.LIMIT * 2


def f(n=config.LIMIT):
    return n, config.LIMIT
