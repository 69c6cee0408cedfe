HANDLERS = {}


def make(name, factor):
    def handler(n):
        return name, n * factor

    return handler


for number, name in enumerate(("a", "b")):
    HANDLERS[name] = make(name, number)
    HANDLERS[name + "!"] = lambda n, number=number: ("direct", n + number)
