CASE = {
    "title": "a nested class moves to the top level and stays reachable through the outer one; instances live",
    "must": "new ones are of the new place; the outer class's methods make these",
}


def check(h):
    m = h.load()
    outer = m.Outer()
    old = outer.make()
    h.push()
    assert outer.make().value() == 20 and m.Outer.Inner is m.Inner and old.value() in (1, 10)
    h.rollback()
    assert (
        outer.make().value() == 1 and m.Outer.Inner.__qualname__ == "Outer.Inner" and not hasattr(m, "Inner")
    )
