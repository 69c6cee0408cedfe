import functools


def logged(fn):
    @functools.wraps(fn)
    def run(self, request):
        return ("logged", fn(self, request))

    return run


class Controller:
    def load(self, request):
        return "load1"

    def stop(self, request: int):
        return "stop1"

    handlers = {"load": load, "stop": stop}

    def handle(self, name):
        return self.handlers[name](self, name)
