CASE = {
    "title": "a functools.partialmethod gets other arguments, and the method behind it another body",
    "must": "live instances see both",
}


def check(h):
    m = h.load()
    lamp = m.Lamp()
    assert lamp.on() == ("old", True, 1)
    h.push()
    assert lamp.on() == ("new", True, 9) and lamp.off() == ("new", False, 1)
