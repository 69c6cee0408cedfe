class Base:
    pass


class Point(Base):
    __slots__ = ("x", "y")

    def __init__(self, x, y):
        self.x, self.y = x, y

    def listed(self):
        return [getattr(self, name) for name in self.__slots__]


class Tag(Base):
    def shown(self):
        return "tag"
