ROUTES = {}


def route(path, *methods):
    def put(fn):
        for method in methods or ("GET",):
            ROUTES[method, path] = fn
        return fn

    return put


def serve(method, path):
    return ROUTES[method, path]()
