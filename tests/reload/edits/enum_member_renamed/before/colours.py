import enum


class Colour(enum.Enum):
    RED = 1
    GREEN = 2


NAMES = {Colour.RED: "warm", Colour.GREEN: "cold"}
