import contextlib

SQUARES = {}
for _n in range(3):
    SQUARES[_n] = _n * _n

with contextlib.suppress(ValueError):
    NUMBER = 0
    NUMBER = int("12")

while True:
    ONCE = 1
    break


def seen():
    return SQUARES, NUMBER, ONCE
