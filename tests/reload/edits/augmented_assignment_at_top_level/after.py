TOTAL = 1
TOTAL += 10

NAMES = ["a"]
NAMES += ["c", "d"]

TEXT = "x"
TEXT += "y"


def seen():
    return TOTAL, NAMES, TEXT
