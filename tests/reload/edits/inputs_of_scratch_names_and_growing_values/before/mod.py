from config import BASE

GROWN = (BASE,)
GROWN += (BASE, "end")

_parts = [BASE]
SHOWN = str(_parts)
del _parts


def seen():
    return GROWN, SHOWN
