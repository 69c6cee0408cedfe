class Meta(type):
    def __new__(meta, name, bases, body, table="none"):
        cls = super().__new__(meta, name, bases, body)
        cls.table = table
        return cls

    def __init__(cls, name, bases, body, table="none"):
        super().__init__(name, bases, body)


class Base(metaclass=Meta):
    pass


class Model(Base, table="new"):
    def where(self):
        return self.table
