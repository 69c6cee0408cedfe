import right


def name():
    return "left"


def other():
    return right.name()
