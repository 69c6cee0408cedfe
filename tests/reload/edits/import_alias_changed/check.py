CASE = {
    "title": "an import gets another alias, and a from-import takes another function under the same name",
    "must": "as in a cold start; the old alias is gone",
}


def check(h):
    m = h.load()
    use = m.use
    h.push()
    assert use() == "[2]" and not hasattr(h.mod(), "codec") and h.mod("lib").one() == 1
