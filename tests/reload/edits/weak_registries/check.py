CASE = {
    "title": "classes with weak registries at class and module level change",
    "must": "the registries and what is in them stay",
}


def check(h):
    m = h.load()
    registry, everyone, live = m.Session.by_name, m.ALL, m.Session("a")
    h.push()
    Session = h.mod().Session
    assert Session.by_name is registry and registry["a"] is live and live in h.mod().ALL is everyone
    other = Session("b", 1)
    assert live.shown() == "A" and other.level == 1 and set(registry) == {"a", "b"}
