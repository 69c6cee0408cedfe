class Base(type):
    def __new__(meta, name, bases, space):
        cls = super().__new__(meta, name, bases, space)
        options = space.get("Meta")
        cls.table = getattr(options, "table", name.lower())
        cls.indexes = tuple(getattr(options, "indexes", ()))
        return cls


class Model(metaclass=Base):
    pass


class User(Model):
    class Meta:
        table = "users"
        indexes = ["name"]


class Group(Model):
    pass
