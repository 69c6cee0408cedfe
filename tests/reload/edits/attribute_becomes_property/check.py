CASE = {
    "title": "an attribute set by __init__ becomes a property over another one, and a property an attribute",
    "must": "new instances work as in a cold start; living ones do, where the new code can find what it wants",
}


def check(h):
    m = h.load()
    one = m.Account(5)
    assert (one.doubled, one.rate) == (10, 2)
    h.push()
    assert (one.cents, one.doubled, one.rate) == (5, 7, 6)
    assert (m.Account(8).cents, m.Account(8).rate) == (8, 9)
    h.rollback()
    assert (one.doubled, one.rate, m.Account(3).doubled) == (10, 2, 6)
