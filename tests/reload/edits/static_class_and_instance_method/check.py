CASE = {
    "title": "a staticmethod becomes a classmethod, then a method, then a staticmethod again",
    "must": "calls through class, instance and subclass are right at each version",
}


def check(h):
    m = h.load()
    tool, special, cls = m.Tool(), m.Special(), m.Special
    assert (tool.run(1), cls.run(1)) == (("static", 1), ("static", 1))
    h.push()
    assert (tool.run(1), cls.run(1), special.run()) == (("Tool", 1), ("Special", 1), ("Special", 0))
    h.push("after2")
    assert (tool.run(1), special.run()) == (("Tool()", 1), ("Special()", 0))
    h.push("before")
    assert (tool.run(1), cls.run(1), special.run()) == (("static", 1), ("static", 1), ("static", 0))
