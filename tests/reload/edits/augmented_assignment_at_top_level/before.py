TOTAL = 1
TOTAL += 1

NAMES = ["a"]
NAMES += ["b"]

TEXT = "x"
TEXT += "y"


def seen():
    return TOTAL, NAMES, TEXT
