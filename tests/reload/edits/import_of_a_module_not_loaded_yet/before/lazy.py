from lazier import LEVEL


def g():
    return LEVEL
