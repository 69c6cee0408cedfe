import enum


class Kind(enum.Enum):
    TEXT = "text"
    FILE = "file"


class Code(enum.IntEnum):
    OK = 5
