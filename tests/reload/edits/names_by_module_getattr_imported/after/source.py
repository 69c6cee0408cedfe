TABLE = {"limit": 2, "same": 5}


def __getattr__(name):
    if name == "made":
        return ["fresh"]
    if name == "MOVED":
        return "by request"
    if name in TABLE:
        return TABLE[name] * 10 if name == "limit" else TABLE[name]
    raise AttributeError(name)
