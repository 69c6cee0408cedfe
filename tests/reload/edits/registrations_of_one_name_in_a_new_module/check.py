CASE = {
    "title": "a module gets a dispatching function, whose registrations are all called `_`",
    "must": "each is registered, as in a cold start; also when they go and come again",
}


def check(h):
    m = h.load()
    for _ in range(2):
        h.push()
        assert (m.shown(1), m.shown([]), m.shown("")) == ("int", "list", "any")
        h.rollback()
        assert not hasattr(m, "shown") and not hasattr(m, "_")
