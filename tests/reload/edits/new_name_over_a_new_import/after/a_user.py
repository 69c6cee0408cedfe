import b_lib
from b_lib import one, two

LIMIT = two() + 1


def use():
    return one() + two() + LIMIT
