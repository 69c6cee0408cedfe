STATE = []


def down(n):
    from alpha import LIMIT, down as further

    STATE.append(n)
    return "beta", further(min(n, LIMIT) - 1)
