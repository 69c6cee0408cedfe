import weakref

ALL = weakref.WeakSet()


class Session:
    by_name = weakref.WeakValueDictionary()

    def __init__(self, name, level=0):
        self.name = name
        self.level = level
        self.by_name[name] = self
        ALL.add(self)

    def shown(self):
        return self.name.upper()
