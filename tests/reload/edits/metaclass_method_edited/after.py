class Meta(type):
    def describe(cls):
        return f"model {cls.__name__}"

    def __call__(cls, *args):
        made = super().__call__(*args)
        made.stamp = "new"
        return made


class Model(metaclass=Meta):
    pass
