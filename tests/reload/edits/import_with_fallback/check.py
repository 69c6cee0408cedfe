CASE = {
    "title": "try: import ... except ImportError: the fallback's function and the name tried change",
    "must": "the right branch is in force, by held references too",
}


def check(h):
    m = h.load()
    save, dumps = m.save, m.dumps
    assert save([1]) == "old [1]"
    h.push()
    assert save([1]) == "[1]" and h.mod().dumps([1]) == "[1]" and dumps([1]) == "[1]"
    h.push("before")
    assert save([1]) == dumps([1]) == "old [1]" and h.mod().codec is None
