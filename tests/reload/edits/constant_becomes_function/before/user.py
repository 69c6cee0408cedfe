from conf import LIMIT, debug

TWICE = LIMIT * 2


def look():
    return TWICE, debug()
