ROUTES = []
CALLS = []


def route(path):
    CALLS.append(path)

    def put(fn):
        ROUTES.append((path, fn))
        return fn

    return put
