CASE = {
    "title": "subclasses register under an attribute of theirs, which changes for one; one goes, one comes",
    "must": "the table is that of a cold start, the classes stay",
}


def check(h):
    m = h.load("commands")
    base, Start, one = h.mod("base"), m.Start, m.Start()
    h.push()
    assert m.Start is Start and one.run() == "begun" and Start.name == "begin"
    assert base.Command.table == {"begin": Start, "pause": m.Pause}, base.Command.table
    h.rollback()
    assert base.Command.table == {"start": Start, "stop": m.Stop}, base.Command.table
