def fetch(x):
    return ("v1", x)
