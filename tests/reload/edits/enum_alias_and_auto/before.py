import enum


class State(enum.Enum):
    IDLE = enum.auto()
    BUSY = enum.auto()
