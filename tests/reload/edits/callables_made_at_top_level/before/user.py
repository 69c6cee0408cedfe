from mod import DOUBLE, INC, REAL


def seen(x):
    return INC(x), REAL(x), DOUBLE(x)
