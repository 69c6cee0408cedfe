import pkg


def seen():
    return sorted(name for name in ("old", "new") if hasattr(pkg, name))
