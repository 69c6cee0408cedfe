class Plugin:
    kinds = {}
    label = ""

    def __init_subclass__(cls, label="plain", **rest):
        super().__init_subclass__(**rest)
        cls.label = label
        Plugin.kinds[cls.__name__] = cls
