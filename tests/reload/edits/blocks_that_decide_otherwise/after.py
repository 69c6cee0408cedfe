LEVEL = 2
TEXT = "x"
TABLE = {"a": 1}

if LEVEL == 5:
    KIND = "five"
elif LEVEL == 1:
    KIND = f"one {LEVEL}"
else:
    KIND = "other"

try:
    NUMBER = int(TEXT)
except ValueError:
    NUMBER = None

try:
    int("no number")
except ValueError as error:
    WHY = (LEVEL, str(error))

try:
    FOUND = TABLE["a"]
except KeyError:
    FOUND = None
    HOW = "missing"
else:
    HOW = "there"
