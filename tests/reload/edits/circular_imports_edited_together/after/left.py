import right

SIZE = 3


def name(suffix=""):
    return "left" + suffix


def other():
    return right.name() + str(right.length())
