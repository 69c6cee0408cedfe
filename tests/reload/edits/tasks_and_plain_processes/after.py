from runtime.kernel import receive, send


def label():
    return "new"


def work(to):
    got = receive()
    send(to, (got, label(), "new body", 2))


def later(to):
    send(to, ("later", label(), "new body"))
