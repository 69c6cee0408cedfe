CACHE = {}


def load(name):
    CACHE[name] = name.upper()
    return CACHE[name]


def dump(name):
    return f"<{CACHE.get(name)}>"


class Store:
    def put(self, name):
        return load(name)
