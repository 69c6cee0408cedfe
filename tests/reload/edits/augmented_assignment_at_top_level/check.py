CASE = {
    "title": "an augmented assignment at the top level changes",
    "must": "the same value as after a cold start, not the new step on top of the old value",
}


def check(h):
    m = h.load()
    seen = m.seen
    h.push()
    assert seen() == (11, ["a", "c", "d"], "xy"), seen()
