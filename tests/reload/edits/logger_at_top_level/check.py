CASE = {
    "title": "functions of a module with a logger and a handler set at its top level change",
    "must": "the same logger, the handler once",
}


def check(h):
    import logging

    m = h.load()
    log, handler, say = m.log, m.HANDLER, m.say
    h.push()
    assert say() == ("case.logger", "new") and h.mod().log is log and log.handlers == [handler]
    assert log.level == logging.DEBUG
