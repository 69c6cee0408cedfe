CASE = {
    "title": "a GenStateMachine gets a new state and another transition while it is in a state",
    "must": "it stays in its state with its data, and takes the new transition at its next event",
}


def check(h):
    from runtime.kernel import call, run

    m = h.load()
    pid = run(m.Door.start)
    assert [run(call, pid, n) for n in (1, 2)] == ["opened", "is open"]
    h.push()
    assert [run(call, pid, n) for n in (3, 4)] == ["locked it", ("locked", [1, 2, 3])]
