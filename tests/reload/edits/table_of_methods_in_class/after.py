import functools


def logged(fn):
    @functools.wraps(fn)
    def run(self, request):
        return ("logged", fn(self, request))

    return run


class Controller:
    @logged
    def load(self, request):
        return "load2"

    def stop(self, request: str):
        return "stop2"

    handlers = {"load": load, "stop": stop}

    def handle(self, name):
        return self.handlers[name](self, name)
