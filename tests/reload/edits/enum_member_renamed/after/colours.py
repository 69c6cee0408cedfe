import enum


class Colour(enum.Enum):
    CRIMSON = 1
    GREEN = 2


NAMES = {Colour.CRIMSON: "hot", Colour.GREEN: "cold"}
