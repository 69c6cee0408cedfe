def tagged(tag):
    def put(cls):
        cls.tag = tag
        cls.tags = lambda self: self.tag
        return cls

    return put


@tagged("two")
class Thing:
    def m(self):
        return 2
