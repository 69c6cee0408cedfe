import beta

LIMIT = 3


def down(n):
    return "alpha", n if n <= 0 else beta.down(n - 1)
