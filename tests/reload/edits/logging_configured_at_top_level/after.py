import logging
import logging.config

LEVEL = "DEBUG"
logging.config.dictConfig(
    {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"null": {"class": "logging.NullHandler", "level": "ERROR"}},
        "loggers": {"of.this.case": {"level": LEVEL, "handlers": ["null"]}},
    }
)
log = logging.getLogger("of.this.case")


def level():
    return log.level, len(log.handlers)
