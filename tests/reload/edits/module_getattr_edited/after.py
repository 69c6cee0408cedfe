def __getattr__(name):
    if name in ("lazy", "lazier"):
        return f"new {name}"
    raise AttributeError(name)


def __dir__():
    return ["lazier", "lazy"]
