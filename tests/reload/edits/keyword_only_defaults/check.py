CASE = {
    "title": "keyword-only and positional-only parameters and their defaults change",
    "must": "held functions and bound methods have the new signature",
}


def check(h):
    import inspect

    m = h.load()
    send, get = m.send, m.Client().get
    h.push()
    assert send("a", "b", x=1) == ("a", ("b",), 5, None, {"x": 1}) and get() == ("/", 20, 0)
    assert str(inspect.signature(send)) == "(to, /, *rest, retries=5, wait=None, **more)"
