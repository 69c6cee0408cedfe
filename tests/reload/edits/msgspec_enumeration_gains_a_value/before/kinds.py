import enum


class Kind(enum.Enum):
    TEXT = "text"


class Code(enum.IntEnum):
    OK = 1
