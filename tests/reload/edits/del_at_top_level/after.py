_parts = ["a", "b", "c"]
JOINED = "-".join(_parts)
del _parts


def seen():
    return JOINED
