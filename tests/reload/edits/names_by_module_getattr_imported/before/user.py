from source import MOVED, limit, made, same
from source import limit as bound

DOUBLE = limit * 2
bound = "own"


def report():
    return limit, DOUBLE, MOVED, same, bound
