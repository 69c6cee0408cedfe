if (limit := 2) > 2:
    SIZE = "big"
else:
    SIZE = "small"

TWICE = limit * 2
PAIR = [(low := 5), low + 1]
