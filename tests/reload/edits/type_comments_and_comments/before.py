RUNS = []
RUNS.append(1)
X = []  # type: list


def f(a):
    # type: (int) -> int
    raise KeyError(a)
