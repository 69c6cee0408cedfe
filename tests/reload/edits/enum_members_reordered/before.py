import enum


class Level(enum.Enum):
    LOW = enum.auto()
    MIDDLE = enum.auto()
    HIGH = enum.auto()


def rank(level):
    return list(Level).index(level)
