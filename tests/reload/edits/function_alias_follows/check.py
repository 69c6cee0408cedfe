CASE = {
    "title": "a module-level alias of a function, and a dispatch table, when the function gets a decorator",
    "must": "the alias and the table go through it; as in a cold start",
}


def check(h):
    m = h.load()
    hello, table = m.hello, m.TABLE
    h.push()
    m = h.mod()
    assert m.hello() == m.greet() == hello() == m.TABLE["hello"]() == table["greet"]() == "HELLO"
