CASE = {
    "title": "a function with a mutable default changes its body; another gets another default",
    "must": "the default object stays where its source is the same, and is new where not",
}


def check(h):
    m = h.load()
    seen, tagged = m.seen, m.tagged
    memory = seen(1)
    h.push()
    assert seen(2) is memory and memory == [1, (2,)] and tagged(1) == (1, {"a": 1, "b": 2})
