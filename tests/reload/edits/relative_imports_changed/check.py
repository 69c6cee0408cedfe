CASE = {
    "title": "relative imports of two levels, in a new and in an old module, change",
    "must": "they resolve as in a cold start",
}


def check(h):
    leaf = h.load("pkg.sub.leaf")
    seen = leaf.seen
    assert seen() == 1
    h.push()
    assert seen() == (2, 6, "pkg.sub.twig")
    h.rollback()
    assert seen() == 1
