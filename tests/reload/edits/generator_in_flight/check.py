CASE = {
    "title": "a generator function changes while a generator of it is suspended",
    "must": "the suspended one goes on in its old body but calls new helpers; the held function makes new ones",
}


def check(h):
    m = h.load()
    make, running = m.numbers, m.numbers()
    assert next(running) == 0
    h.push()
    assert list(running) == [10, 20] and list(make()) == ["new", 0, 10, 20]
