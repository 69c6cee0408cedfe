CASE = {
    "title": "a constant changes that others derive from, over from-imports of three modules",
    "must": "all of the chain follows: constants, default arguments, class attributes",
}


def check(h):
    third = h.load("third")
    live = third.Config()
    assert third.seen() == ((21, [20]), 20, {"m": 20}, 20, 20)
    h.push()
    assert third.seen() == ((101, [100]), 100, {"m": 100}, 100, 100) and live.size == 100
    h.rollback()
    assert third.seen() == ((21, [20]), 20, {"m": 20}, 20, 20) and live.size == 20
