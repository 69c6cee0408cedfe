import enum


class Level(enum.Enum):
    LOW = 1
    HIGH = 2


def urgent(level):
    return level is Level.HIGH
