EXTRA = 1
TIMEOUT = 7
NAMES = {"a": 1, "b": 2}
