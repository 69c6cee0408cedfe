def send(to, *, retries=3, wait=1.0):
    return to, retries, wait


class Client:
    def get(self, path, *, limit=10):
        return path, limit
