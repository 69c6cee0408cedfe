import contextlib

SQUARES = {}
for _n in range(4):
    SQUARES[_n] = _n * _n * 10

with contextlib.suppress(ValueError):
    NUMBER = 0
    NUMBER = int("no number")

while True:
    ONCE = 2
    break


def seen():
    return SQUARES, NUMBER, ONCE
