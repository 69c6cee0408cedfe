class Field:
    def __init__(self, default):
        self.default = default

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, one, owner):
        return self if one is None else one.__dict__.get(self.name, self.default)

    def __set__(self, one, value):
        one.__dict__[self.name] = value
