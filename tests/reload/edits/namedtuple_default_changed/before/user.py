from mod import Point


def make():
    return Point(5)
