from lib.parts import LEVEL, low


def high():
    return low() + 100
