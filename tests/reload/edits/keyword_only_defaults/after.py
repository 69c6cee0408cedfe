def send(to, /, *rest, retries=5, wait=None, **more):
    return to, rest, retries, wait, more


class Client:
    def get(self, path="/", *, limit=20, offset=0):
        return path, limit, offset
