import enum

import msgspec


class Box:
    class Kind(enum.Enum):
        TEXT = "text"


class Part(msgspec.Struct):
    size: int = 1
