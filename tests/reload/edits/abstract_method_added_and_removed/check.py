CASE = {
    "title": "an ABC asks for another method that one subclass has, then asks for none",
    "must": "instantiation is allowed and refused as in a cold start; live instances work on",
}


def check(h):
    m = h.load()
    live, disk = m.Memory(), m.Disk()
    h.push()
    m = h.mod()
    assert live.get() == 1 and m.Disk().put() == 3 and isinstance(live, m.Store)
    assert m.Store.__abstractmethods__ == {"get", "put"} and m.Memory.__abstractmethods__ == {"put"}
    try:
        m.Memory()
    except TypeError:
        pass
    else:
        raise AssertionError("an abstract class was instantiated")
    h.push("after2")
    assert h.mod().Memory().put() == 0 and live.get() == 0 and disk.put() == 0 and h.mod().Store().get() == 0
