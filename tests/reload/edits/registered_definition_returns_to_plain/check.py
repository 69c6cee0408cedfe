CASE = {
    "title": "a registered function gets a second decorator, which goes again",
    "must": "name and table mean the same function, also on the way back",
}


def check(h):
    m = h.load()
    tool = m.tool
    h.push()
    assert m.TABLE["tool"] is m.tool
    with m.tool() as value:
        assert value == "plain"
    h.rollback()
    assert m.TABLE["tool"] is m.tool is tool and list(m.tool()) == ["plain"]
