CASE = {
    "title": "a dataclass gets another default for a field and order=True",
    "must": "constructor and comparison are new for old instances and held references",
}


def check(h):
    m = h.load()
    held, live = m.Job, m.Job("b")
    h.push()
    assert held("a").priority == 5 and live.priority == 1
    assert held("a") < live and isinstance(live, h.mod().Job) and h.mod().Job is held
