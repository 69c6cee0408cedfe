class Circle:
    __match_args__ = ("r",)

    def __init__(self, r):
        self.r = r


def area(shape):
    match shape:
        case {"side": side}:
            return side * side
        case Circle(r) if r > 0:
            return 3 * r * r
        case [first, *rest]:
            return first + len(rest)
        case _:
            return None
