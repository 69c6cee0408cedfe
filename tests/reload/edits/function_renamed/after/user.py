import mod

TABLE = [mod.fetch] if hasattr(mod, "fetch") else [mod.load]


def use(x):
    return mod.load(x)
