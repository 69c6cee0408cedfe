import logging

log = logging.getLogger("case.logger")
HANDLER = logging.NullHandler()
log.addHandler(HANDLER)
log.setLevel("DEBUG")


def say():
    return log.name, "new"
