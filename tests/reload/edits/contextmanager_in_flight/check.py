CASE = {
    "title": "a contextmanager function changes while a with block of it is open",
    "must": "the open block ends as it began, calling new helpers; the next one is new",
}


def check(h):
    m = h.load()
    opened = m.opened
    with opened("a") as name:
        h.push()
    assert name == "a" and m.LOG == ["open a", "CLOSE A"]
    with opened("b", "w") as pair:
        raise ValueError
    assert pair == ("b", "w") and m.LOG[2:] == ["OPEN B W", "SWALLOWED", "END B"]
