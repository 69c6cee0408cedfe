from b import g

STATE = []


def k():
    return g() + 10
