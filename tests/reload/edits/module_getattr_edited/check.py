CASE = {
    "title": "a module's __getattr__ and __dir__ change",
    "must": "missing names go through the new one",
}


def check(h):
    m = h.load()
    assert m.lazy == "old"
    h.push()
    assert (m.lazy, m.lazier, dir(m)) == ("new lazy", "new lazier", ["lazier", "lazy"]) and not hasattr(
        m, "other"
    )
