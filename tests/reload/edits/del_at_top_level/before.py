_parts = ["a", "b"]
JOINED = "-".join(_parts)
del _parts


def seen():
    return JOINED
