TIMEOUT = 5
NAMES = {"a": 1}
