LEVEL = 2


def low():
    return LEVEL
