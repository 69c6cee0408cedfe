CASE = {
    "title": "a constant changes that definitions and constants inside of if, else, try, except and finally are made from",
    "must": "the branch that counts in a cold start counts; nothing with effects runs again, what tables hold is kept",
}


def check(h):
    mod = h.load()
    mod.NUMBER["kept"] = mod.DATA["kept"] = True
    first, second = mod.first, mod.second

    def look(limit):
        assert first() == second() == mod.first() == mod.second() == limit
        assert mod.THIRD == mod.FIFTH == mod.SIXTH == limit + 1 and mod.FOURTH == "made"
        assert mod.NUMBER == mod.DATA == {"kept": True} and mod.LOADED == [1]

    h.push()
    look(2)
    h.rollback()
    look(1)
