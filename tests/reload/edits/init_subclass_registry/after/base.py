KINDS = {}


class Plugin:
    def __init_subclass__(cls, key=None, **options):
        super().__init_subclass__(**options)
        KINDS[key or cls.__name__] = cls

    def run(self):
        return "base"
