from user import limit


def report():
    return limit
