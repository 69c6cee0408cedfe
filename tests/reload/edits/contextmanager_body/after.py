from contextlib import contextmanager

LOG = []


@contextmanager
def session(name, level=1):
    LOG.append(("enter", name, level))
    try:
        yield name.upper()
    finally:
        LOG.append(("leave", name, level))
