CASE = {
    "title": "an imported constant changes that a scratch name and an augmented assignment are made of",
    "must": "as in a cold start: no double growth, no scratch name left",
}


def check(h):
    m = h.load()
    seen = m.seen
    for _ in range(2):
        h.push("after")
        assert seen() == (("three", "three", "end"), "['three']") and not hasattr(h.mod(), "_parts")
        h.push("before")
        assert seen() == (((1, 2), (1, 2), "end"), "[(1, 2)]") and not hasattr(h.mod(), "_parts")
