CASE = {
    "title": "constants change by which an elif has another outcome, and what is tried fails, or does not any more",
    "must": "the branch or handler of a cold start counts",
}


def check(h):
    mod = h.load()

    def look():
        return mod.KIND, mod.NUMBER, mod.WHY[0], mod.FOUND, mod.HOW

    h.push()
    assert look() == ("other", None, 2, 1, "there")
    h.rollback()
    assert look() == ("one 1", 1, 1, None, "missing")
