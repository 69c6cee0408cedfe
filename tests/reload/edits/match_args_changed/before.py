from dataclasses import dataclass


class Point:
    __match_args__ = ("x", "y")

    def __init__(self, x, y):
        self.x, self.y = x, y


@dataclass
class Pair:
    a: int
    b: int


def look(thing):
    match thing:
        case Point(0, y):
            return "on the axis", y
        case Pair(a, b) if (total := a + b) > 3:
            return "pair", a, b, total
        case {"kind": str(kind), **rest}:
            return kind, rest
        case [first, *others]:
            return first, others
        case _:
            return "other"
