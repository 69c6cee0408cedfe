CASE = {
    "title": "nested functions over nonlocal state change while some live",
    "must": "the live ones run the new bodies on the state they have",
}


def check(h):
    m = h.load()
    up, read = m.counter()
    up()
    h.push()
    assert up() == 11 and read() == ("n", 11)
    fresh, _ = h.mod().counter()
    assert fresh() == 10
