CASE = {
    "title": "a flag changes that decides which of two definitions counts",
    "must": "the other definition is in force, for held references too",
}


def check(h):
    user, m = h.load("user"), h.load()
    held = m.run
    h.push()
    assert (
        h.mod().run() == "fast"
        and user.use() == "fast"
        and held() == "fast"
        and h.mod().Engine.kind == "fast"
    )
