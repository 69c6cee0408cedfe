import enum

import msgspec


class Box:
    class Kind(enum.Enum):
        TEXT = "text"
        FILE = "file"


class Part(msgspec.Struct):
    size: int = 2
    name: str = "part"
