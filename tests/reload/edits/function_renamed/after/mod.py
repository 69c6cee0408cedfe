def load(x):
    return ("v2", x)
