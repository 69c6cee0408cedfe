CASE = {
    "title": "a class-level table refers to methods of the class, and one of them gets a decorator, another an annotation",
    "must": "the table and the attribute are one function, the new one, for live instances",
}


def check(h):
    m = h.load()
    live, handlers = m.Controller(), m.Controller.handlers
    h.push()
    Controller = h.mod().Controller
    assert live.handle("load") == ("logged", "load2") == live.load("x") and live.handle("stop") == "stop2"
    assert Controller.handlers["stop"] is Controller.stop and Controller.handlers["load"] is Controller.load
    assert handlers["load"](live, "x") == ("logged", "load2")
