from mod import *


def seen():
    return sorted(name for name in globals() if name in ("one", "two", "three")), one()
