CASE = {
    "title": "a for and a with at the top level change",
    "must": "what they bind follows, and importers",
}


def check(h):
    m = h.load()
    seen = m.seen
    h.push()
    assert seen() == ({0: 0, 1: 10, 2: 40, 3: 90}, 0, 2), seen()
