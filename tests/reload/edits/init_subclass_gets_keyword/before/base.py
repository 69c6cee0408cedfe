class Plugin:
    kinds = {}

    def __init_subclass__(cls, **rest):
        super().__init_subclass__(**rest)
        Plugin.kinds[cls.__name__] = cls
