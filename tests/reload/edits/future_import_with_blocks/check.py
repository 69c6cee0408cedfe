CASE = {
    "title": "from __future__ import annotations comes to a module with definitions inside of blocks, and goes again",
    "must": "annotations are as in a cold start everywhere; what variables with and without annotations hold is kept",
}


def check(h):
    mod = h.load()
    mod.COUNT = 5
    tables = [mod.STATE, mod.INNER, mod.TABLE, mod.FOUND]
    for table in tables:
        table["kept"] = True
    halve, box, find = mod.halve, mod.Box(), mod.find

    def look(number, text):
        assert [mod.STATE, mod.INNER, mod.TABLE, mod.FOUND] == [{"kept": True}] * 4 and mod.COUNT == 5
        assert all(a is b for a, b in zip(tables, (mod.STATE, mod.INNER, mod.TABLE, mod.FOUND)))
        assert mod.halve is halve and mod.find is find and type(box) is mod.Box
        assert mod.REGISTERED == [mod.listed] and mod.listed.__annotations__["number"] == number
        assert halve.__annotations__["number"] == number and find.__annotations__["name"] == text
        assert mod.Box.__annotations__["size"] == number and mod.Box.grow.__annotations__["by"] == number

    h.push()
    look("int", "str")
    h.rollback()
    look(int, str)
