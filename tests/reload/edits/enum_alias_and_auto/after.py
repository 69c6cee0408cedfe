import enum


class State(enum.Enum):
    NEW = enum.auto()
    IDLE = enum.auto()
    BUSY = enum.auto()
    WORKING = BUSY
