class Pool:
    cache = {}
    made = 0
    limit = 5

    def get(self, key):
        type(self).made += 1
        return self.cache.setdefault(key, len(self.cache))
