# A new head
# of two lines.
RUNS = []
RUNS.append(1)
X = []  # type: list[int]


def f(a):
    # type: (str) -> str
    # and one more line

    raise KeyError(a)
