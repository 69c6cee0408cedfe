from tools import CACHE, Store, dump, load


def work(name):
    load(name)
    return dump(name), Store().put(name), name in CACHE
