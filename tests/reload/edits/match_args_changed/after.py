from dataclasses import dataclass


class Point:
    __match_args__ = ("y", "x")

    def __init__(self, x, y):
        self.x, self.y = x, y


@dataclass
class Pair:
    b: int
    a: int


def look(thing):
    match thing:
        case Point(0, y):
            return "on the axis", y
        case Pair(a, b) if (total := a + b) > 3:
            return "pair", a, b, total
        case {"kind": "a" | "b" as kind, **rest}:
            return kind, rest
        case [first, second, *others]:
            return first, second, others
        case _:
            return "other"
