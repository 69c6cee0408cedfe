from storing import Store, load
from storing import CACHE


def dump(name):
    return f"<<{CACHE.get(name)}>>"
