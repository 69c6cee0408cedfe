CASE = {
    "title": "a method with super() moves from a class to its base in another module; instances are held",
    "must": "living instances call the base's, overriding ones still override it",
}


def check(h):
    m = h.load("workers")
    one, special = m.Worker(), m.Special()
    bound = special.restart
    h.push()
    assert one.restart() == ["worker", "new base", "again"]
    assert bound() == special.restart() == ["special", "worker", "new base", "again"]
    assert "restart" not in vars(m.Worker)
    h.rollback()
    assert one.restart() == ["worker", "base", "start"] and not hasattr(h.mod("base").Base, "restart")
