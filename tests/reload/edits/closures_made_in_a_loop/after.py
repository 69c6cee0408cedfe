HANDLERS = {}


def make(name, factor):
    def handler(n):
        return name.upper(), n * factor

    return handler


for number, name in enumerate(("a", "b", "c"), 10):
    HANDLERS[name] = make(name, number)
    HANDLERS[name + "!"] = lambda n, number=number: ("new", n + number)
