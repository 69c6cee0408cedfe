import logging

log = logging.getLogger("case.logger")
HANDLER = logging.NullHandler()
log.addHandler(HANDLER)
log.setLevel("INFO")


def say():
    return log.name, "old"
