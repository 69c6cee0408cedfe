LIMIT = 3


def clip(n):
    return min(n, LIMIT)


def build(n):
    return ["built", clip(n)]
