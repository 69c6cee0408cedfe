CASE = {
    "title": "handlers registered by a decorator with an argument: one edited, one added",
    "must": "the registry runs the edited one, has the new one, and nothing twice",
}


def check(h):
    h.load()
    registry = h.mod("registry")
    h.push()
    assert [(path, fn()) for path, fn in registry.ROUTES] == [("/a", "a2"), ("/b", "b1"), ("/c", "c2")]
    assert registry.CALLS == ["/a", "/b", "/c"]
