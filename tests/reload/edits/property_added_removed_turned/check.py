CASE = {
    "title": "a method becomes a property, a property becomes a method, a property goes and one comes",
    "must": "live instances see all of it",
}


def check(h):
    m = h.load()
    account = m.Account()
    h.push()
    assert account.size == 14 and account.name() == "new" and not hasattr(account, "gone")
    account.come = 3
    assert account.come == 3 and account.size == 6
