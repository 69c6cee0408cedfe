from contextlib import contextmanager

LOG = []


def note(text):
    LOG.append(text)


@contextmanager
def opened(name):
    note(f"open {name}")
    try:
        yield name
    finally:
        note(f"close {name}")
