def __getattr__(name):
    if name == "lazy":
        return "old"
    raise AttributeError(name)
