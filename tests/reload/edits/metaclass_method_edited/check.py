CASE = {
    "title": "a method of a metaclass changes",
    "must": "its classes and their instances see it",
}


def check(h):
    m = h.load()
    held, live = m.Model, m.Model()
    h.push()
    assert held.describe() == "model Model" and held().stamp == "new" and live.stamp == "old"
    assert isinstance(live, h.mod().Model) and type(held) is h.mod().Meta
