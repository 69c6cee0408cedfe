class Circle:
    __match_args__ = ("r",)

    def __init__(self, r):
        self.r = r


def area(shape):
    match shape:
        case {"side": side}:
            return side * side
        case _:
            return None
