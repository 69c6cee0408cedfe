LIMIT = 3


def debug():
    return True
