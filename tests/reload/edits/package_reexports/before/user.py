import pkg
from pkg import LIMIT, make


def seen():
    return LIMIT, pkg.LIMIT, make().shown()
