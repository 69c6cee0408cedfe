CASE = {
    "title": "an alias of a function, and one of a method, are made aliases of others; both are held",
    "must": "the functions themselves stay what they are; the alias is the other one, by identity",
}


def check(h):
    m = h.load()
    first, second, tool = m.first, m.second, m.Tool()
    held = tool.act
    h.push()
    assert (
        (first(), second(), m.chosen()) == (1, 20, 20) and m.chosen is m.second is second and m.first is first
    )
    assert (tool.cut(), tool.glue(), tool.act(), held()) == ("cut", "new glue", "new glue", "cut")
    assert m.Tool.act is m.Tool.glue
    h.rollback()
    assert (first(), second(), m.chosen()) == (1, 2, 1) and m.chosen is first and tool.act() == "cut"
