CASE = {
    "title": "decorators that are classes are put on functions and methods, changed, and taken off again",
    "must": "who holds a function or bound method of any version runs what the name means now; undecorated, it is the same function",
}


def check(h):
    m = h.load()
    plain = g, add, made = m.g, m.h, m.made
    shop, corner = m.Shop(), m.Corner()
    price, dearer, name = shop.price, corner.price, shop.name

    def results():
        return g(), add(), price(), dearer(), name()

    assert results() == (1, 1, 1, 2, "shop") and made() == 1
    h.push()
    first = ("counted", 2), ("marked", 1), ("bound", 2), ("bound", 2), ("marked", "shop")
    assert results() == first, results()
    assert made().n == 2
    one, two, three = m.g, m.h, shop.price
    h.push("after2")
    second = ("marked", 3), ("marked", 3), ("bound", 3), ("bound", 2), ("marked", "shop")
    assert results() == second, results()
    assert (one(), two(), three()) == (("counted", 3), ("marked", 3), ("bound", 3))
    for _ in range(2):
        h.push("before")
        assert results() == (1, 1, 1, 2, "shop") and made() == 1, results()
        assert (m.g, m.h, m.made) == (g, add, made) == plain
        assert (one(), two(), three()) == (("counted", 1), ("marked", 1), ("bound", 1))
        h.push("after")
        assert results() == first, results()
        assert (one(), two(), three()) == (("counted", 2), ("marked", 1), ("bound", 2))
    h.push("before")
    assert results() == (1, 1, 1, 2, "shop") and m.g is g
    # Under a decorator that makes a function, and back: what is inside the object of before goes along.
    h.push("after")
    held = m.h
    h.push("after3")
    assert (m.h(), add(), held()) == (("wrapped", 5), ("wrapped", 5), ("marked", 5))
    h.push("after")
    assert (m.h(), add(), held()) == (("marked", 1),) * 3, held()
