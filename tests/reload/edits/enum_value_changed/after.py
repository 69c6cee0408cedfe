import enum


class Level(enum.Enum):
    LOW = 1
    HIGH = 20


def urgent(level):
    return level is Level.HIGH
