import enum


class Color(enum.Enum):
    RED = "r"
    BLUE = "b"
