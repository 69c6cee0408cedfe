CASE = {
    "title": "callbacks of a GenServer change, one is added; the state's shape does not",
    "must": "living servers keep state and pid and answer by the new code; queued messages are not lost",
}


def check(h):
    from runtime.kernel import call, cast, is_alive, run, send

    m = h.load()
    pids = [run(m.Counter.start, n) for n in range(20)]
    assert [run(call, pid, "next") for pid in pids] == list(range(1, 21))
    for pid in pids:
        cast(pid, 1)  # nobody runs the loop: handled during the push or after it, as it comes
    h.push()
    assert [run(call, pid, "next")[0] for pid in pids] == ["new"] * 20
    before = [run(call, pid, "read") for pid in pids]
    assert all(n in (i + 3, i + 102) for i, n in enumerate(before)), before
    send(pids[0], 1000)
    assert run(call, pids[0], "read") == 1000 and all(is_alive(pid) for pid in pids)
    assert isinstance(pids[0].behaviour, h.mod().Counter)
