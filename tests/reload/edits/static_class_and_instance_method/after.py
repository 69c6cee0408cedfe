class Tool:
    @classmethod
    def run(cls, *args):
        return cls.__name__, len(args)


class Special(Tool):
    pass
