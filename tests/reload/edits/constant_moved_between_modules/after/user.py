from config import NAMES, TIMEOUT


def seen():
    return TIMEOUT, NAMES
