CASE = {
    "title": "the base class of servers, in another module, changes its version; the servers' own module does not change",
    "must": "processes of the subclass migrate",
}


def check(h):
    from runtime.kernel import call, run

    m = h.load()
    pid = run(m.Special.start, 5)
    assert run(call, pid, "x") == ("special", 5, None)
    h.push()
    assert run(call, pid, "x") == ("special", None, [5])
