CASE = {
    "title": "a generator function becomes one that returns a list, and the other way round; both were imported",
    "must": "a running generator goes on; the next call is of the new kind",
}


def check(h):
    user = h.load("user")
    both, running = user.both, user.numbers()
    assert next(running) == 1
    h.push()
    assert list(running) == [2]
    assert both() == ([1, 2, 3], ["a", "b", "c"], "list", "generator")
    h.rollback()
    assert both() == ([1, 2], ["a", "b"], "generator", "list")
