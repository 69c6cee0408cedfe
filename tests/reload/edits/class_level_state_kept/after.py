class Pool:
    cache = {}
    made = 0
    limit = 50

    def get(self, key):
        type(self).made += 1
        return self.cache.setdefault(key, 100 + len(self.cache))

    def size(self):
        return len(self.cache)
