CACHE = {}


def load(name):
    CACHE[name] = name.title()
    return CACHE[name]


class Store:
    def put(self, name):
        return load(name)
