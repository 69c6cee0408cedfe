from pk.a import Y


def use():
    return Y + 1
