CASE = {
    "title": "a function that writes a global changes, and another joins it",
    "must": "the value set at run time stays",
}


def check(h):
    m = h.load()
    up = m.up
    up()
    up()
    h.push()
    assert up() == 12 and h.mod().LAST == "up"
    assert h.mod().reset() == 0 and h.mod().COUNT == 0
