import enum


class Right(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


class Kind(enum.StrEnum):
    TEXT = "text"

    def shown(self):
        return "kind " + self
