CASE = {
    "title": "the value of an Enum member changes",
    "must": "the member is the same object, found by the new value and not by the old",
}


def check(h):
    m = h.load()
    high, table = m.Level.HIGH, {m.Level.HIGH: "h"}
    h.push()
    Level = h.mod().Level
    assert Level.HIGH is high and high.value == 20 and Level(20) is high and table[Level.HIGH] == "h"
    assert m.urgent(high) and list(Level) == [Level.LOW, high]
    try:
        Level(2)
    except ValueError:
        return
    raise AssertionError("the old value still leads to a member")
