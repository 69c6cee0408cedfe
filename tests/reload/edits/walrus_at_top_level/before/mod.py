if (limit := 3) > 2:
    SIZE = "big"
else:
    SIZE = "small"

TWICE = limit * 2
PAIR = [(low := 1), low + 1]
