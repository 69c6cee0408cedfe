class Field:
    def __init__(self, kind):
        self.kind = kind


class Meta(type):
    def __new__(meta, name, bases, space):
        cls = super().__new__(meta, name, bases, space)
        cls.fields = [key for key, value in space.items() if isinstance(value, Field)]
        return cls

    def describe(cls):
        return f"{cls.__name__}: {cls.fields}"


class Model(metaclass=Meta):
    title = Field(str)
    body = Field(str)

    def names(self):
        return self.fields
