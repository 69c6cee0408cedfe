from contextlib import contextmanager

LOG = []


@contextmanager
def session(name):
    LOG.append(("in", name))
    try:
        yield name
    finally:
        LOG.append(("out", name))
