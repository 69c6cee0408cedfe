import enum


class Level(enum.Enum):
    HIGH = enum.auto()
    MIDDLE = enum.auto()
    LOW = enum.auto()


def rank(level):
    return list(Level).index(level)
