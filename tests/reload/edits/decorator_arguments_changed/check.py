CASE = {
    "title": "the arguments of a decorator change; references to the decorated function are held",
    "must": "all references go through the new arguments",
}


def check(h):
    user, m = h.load("user"), h.load()
    held, live = m.ask, m.Client()
    bound = live.get
    h.push()
    assert h.mod().ask(1) == held(1) == user.ask(1) == user.TABLE["ask"](1) == [2, 2, 2]
    assert live.get() == bound() == ["got"] * 3
