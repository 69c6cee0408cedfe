class NotFound(Exception):
    pass


def find(x):
    raise NotFound(x)
