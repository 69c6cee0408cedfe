CASE = {
    "title": "logging.config.dictConfig and a handler's level at top level change",
    "must": "the new configuration is in force, once; loggers stay the same objects",
}


def check(h):
    m = h.load()
    log, level = m.log, m.level
    assert level() == (20, 1)
    h.push()
    assert level() == (10, 1) and m.log is log
    h.rollback()
    assert level() == (20, 1) and m.log is log
