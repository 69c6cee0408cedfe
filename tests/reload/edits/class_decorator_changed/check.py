CASE = {
    "title": "a class decorator is added, changed and removed",
    "must": "what it does to the class is there as in a cold start; identity and instances stay",
}


def check(h):
    m = h.load()
    held, live = m.Thing, m.Thing()
    h.push()
    assert live.tags() == "one" and h.mod().Thing is held
    h.push("after2")
    assert (live.tags(), live.m(), held.tag) == ("two", 2, "two")
