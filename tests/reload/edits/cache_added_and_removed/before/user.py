from work import CALLS, cube, square


def both(n):
    return square(n), square(n), cube(n), cube(n)
