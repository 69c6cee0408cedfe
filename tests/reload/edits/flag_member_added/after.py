import enum


class Right(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()
    ADMIN = enum.auto()
    ALL = READ | WRITE | ADMIN


class Kind(enum.StrEnum):
    TEXT = "text"
    IMAGE = "image"

    def shown(self):
        return "a kind: " + self
