import enum


class Color(enum.Enum):
    RED = "r"
    GREEN = "g"
    BLUE = "b"
