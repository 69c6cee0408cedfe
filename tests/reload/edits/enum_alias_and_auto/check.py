CASE = {
    "title": "an Enum gets an alias and a member by auto(), and another order",
    "must": "alias is the member; order and values as in a cold start; members kept",
}


def check(h):
    m = h.load()
    idle, busy = m.State.IDLE, m.State.BUSY
    h.push()
    State = h.mod().State
    assert State.IDLE is idle and State.BUSY is busy and State.WORKING is busy
    assert [(s.name, s.value) for s in State] == [("NEW", 1), ("IDLE", 2), ("BUSY", 3)]
    assert (
        State(3) is busy
        and State(2) is idle
        and list(State.__members__) == ["NEW", "IDLE", "BUSY", "WORKING"]
    )
