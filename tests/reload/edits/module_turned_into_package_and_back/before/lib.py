LEVEL = 1


def low():
    return LEVEL


def high():
    return low() + 10
