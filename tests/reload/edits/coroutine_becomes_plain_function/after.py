def load():
    return 2


def items():
    return [3, 4]
