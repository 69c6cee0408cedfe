CASE = {
    "title": "subclasses registered by __init_subclass__: one edited, one added in another module",
    "must": "the registry has each once, and its classes are the live ones",
}


def check(h):
    m = h.load()
    kinds, live = h.mod("base").KINDS, m.First()
    h.push()
    m = h.mod()
    assert kinds == {"first": m.First, "second": m.Second} and h.mod("base").KINDS is kinds
    assert live.run() == kinds["first"]().run() == "first again base" and kinds["second"]().run() == "base"
