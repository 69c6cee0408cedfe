class Base:
    pass


class Point(Base):
    __slots__ = ["y", "x"]

    def __init__(self, x, y):
        self.x, self.y = x, y

    def listed(self):
        return [getattr(self, name) for name in self.__slots__]


class Tag(Base):
    __slots__ = ()

    def shown(self):
        return "tag"
