TABLE = {"limit": 1, "same": 5}
MOVED = "plain"


def __getattr__(name):
    if name == "made":
        return ["fresh"]
    if name in TABLE:
        return TABLE[name]
    raise AttributeError(name)
