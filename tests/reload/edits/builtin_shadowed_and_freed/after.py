def sum(x):
    return "mine"


def use(x):
    return sum(x)
