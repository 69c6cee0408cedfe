class Meta(type):
    def describe(cls):
        return f"class {cls.__name__}"

    def __call__(cls, *args):
        made = super().__call__(*args)
        made.stamp = "old"
        return made


class Model(metaclass=Meta):
    pass
