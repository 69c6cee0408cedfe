CASE = {
    "title": "a module with ContextVars changes while contexts hold values",
    "must": "the variables are the same; values stay",
}


def check(h):
    import contextvars

    m = h.load()
    user, who, context = m.USER, m.who, contextvars.copy_context()
    context.run(user.set, "anna")
    h.push()
    assert h.mod().USER is user and context.run(who) == ("anna", 0) and who() == ("nobody", 0)
