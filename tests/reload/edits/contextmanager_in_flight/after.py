from contextlib import contextmanager

LOG = []


def note(text):
    LOG.append(text.upper())


@contextmanager
def opened(name, mode="r"):
    note(f"open {name} {mode}")
    try:
        yield name, mode
    except ValueError:
        note("swallowed")
    finally:
        note(f"end {name}")
