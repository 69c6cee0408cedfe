CASE = {
    "title": "a method moves from a class to a new mixin base",
    "must": "live instances find it there; isinstance of the mixin holds",
}


def check(h):
    m = h.load()
    held, live = m.Chat, m.Chat()
    h.push()
    m = h.mod()
    assert live.name() == "named hello" and isinstance(live, m.Named) and isinstance(live, m.Chat)
    assert held().name() == "named hello" and issubclass(m.Chat, m.Named)
    assert m.Chat is held
    h.rollback()
    assert live.name() == "chat" and h.mod().Chat.__mro__ == (held, h.mod().Base, object)
