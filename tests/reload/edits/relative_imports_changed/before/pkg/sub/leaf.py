from ..base import K


def seen():
    return K
