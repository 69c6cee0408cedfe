LIMIT = 1
FLAG = False
LOADED = []


def load():
    LOADED.append(1)
    raise ValueError


if FLAG:
    UNUSED = 1
else:

    def first(number=LIMIT):
        return number


try:
    import no_such_module_anywhere
except ImportError:

    def second(number=LIMIT):
        return number
else:

    def second(number=LIMIT):
        return "other"


try:
    NUMBER = int("no number")
except ValueError:
    NUMBER = {}
    THIRD = LIMIT + 1
else:
    THIRD = "other"

try:
    DATA = load()
except ValueError:
    DATA = {}
    FOURTH = "made"
else:
    FOURTH = "other"

try:
    if not FLAG:
        FIFTH = LIMIT + 1
finally:
    pass

try:
    import json
finally:
    SIXTH = LIMIT + 1
