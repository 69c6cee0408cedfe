from colours import NAMES, Colour


def warmth(colour):
    return NAMES[colour]
