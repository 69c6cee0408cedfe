CASE = {
    "title": "a GenServer's state gets another shape, with __vsn__ and code_change, for 50 processes; then back",
    "must": "each migrated once, up and down, none restarted",
}


def check(h):
    from runtime.kernel import call, is_alive, run

    m = h.load()
    pids = [run(m.Basket.start, n) for n in range(1, 51)]
    h.push()
    assert [run(call, pid, "size") for pid in pids] == [("v2", n) for n in range(1, 51)]
    assert h.mod().CHANGES == [1] * 50 and not hasattr(pids[3].behaviour, "items")
    changes = h.mod().CHANGES
    h.rollback()
    assert [run(call, pid, "size") for pid in pids] == list(range(1, 51)) and all(
        is_alive(pid) for pid in pids
    )
    assert changes[50:] == [("down", 1)] * 50, changes[50:]
