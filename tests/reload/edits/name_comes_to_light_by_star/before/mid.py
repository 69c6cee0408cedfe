class marked:
    def __init__(self, fn):
        self.fn = fn

    def __get__(self, instance, owner=None):
        return lambda *args: ("marked", self.fn(instance, *args))
