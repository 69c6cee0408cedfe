from runtime.kernel import receive, send


def label():
    return "old"


def work(to):
    got = receive()
    send(to, (got, label(), "old body"))


def later(to):
    send(to, ("later", label(), "old body"))
