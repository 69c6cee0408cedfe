"""The node's log: what is logged anywhere in this process, on standard error, as the configuration says.

Keys: log.format, log.level, log.levels, log.sync, log.drop, log.flush, log.burst, log.burst_window. How the handler
protects the node: `runtime.observe.log_handler`.
"""

from __future__ import annotations

import logging
import os

from runtime.config import Config
from runtime.observe.log_format import HumanFormatter, JsonFormatter
from runtime.observe.log_handler import LogHandler, LogLimits, set_levels

__all__ = ["NodeLog", "set_levels"]

_HOLD = 1000

# Types


class NodeLog(LogHandler):
    """The node's log handler. `start` installs it, `stop` writes what waits (for at most two seconds)."""

    def __init__(self, fd: int, form: str, limits: LogLimits | None = None) -> None:
        colours = os.isatty(fd) and not os.environ.get("NO_COLOR")
        super().__init__(fd, HumanFormatter(colours) if form == "human" else JsonFormatter(), limits)
        self._held: list[logging.LogRecord] | None = None

    @classmethod
    def start(cls, config: Config, fd: int = 2) -> NodeLog:
        """Send all logging of this process to `fd` from now on."""
        handler = cls(fd, config.text("log.format"))
        handler.tune(config)
        logging.getLogger().handlers[:] = [handler]
        logging.captureWarnings(True)
        handler.open()
        return handler

    def tune(self, config: Config) -> None:
        """Take over levels and limits; also while it runs."""
        set_levels(config.text("log.level"), config["log.levels"])
        self.limits = LogLimits(
            sync=config.integer("log.sync"),
            drop=config.integer("log.drop"),
            flush=config.integer("log.flush"),
            burst=config.integer("log.burst"),
            burst_window=config.number("log.burst_window"),
            overload_kill=bool(config["log.overload_kill"]),
            kill_lines=config.integer("log.kill_lines"),
            kill_bytes=config.integer("log.kill_bytes"),
            restart_after=config.number("log.restart_after"),
        )

    def stop(self) -> None:
        """Write what waits and stop. Records logged later go nowhere."""
        logging.getLogger().removeHandler(self)
        self.close()

    def hold_reports(self) -> None:
        """Keep reports of crashes and supervisors back, until it is known whether an operator needs them.

        A port that is taken makes three of them at boot, of a page each; one sentence says it better.
        """
        self._held = []

    def release_reports(self, write: bool = True) -> None:
        """Write the reports that were kept back, or forget them; later ones are written as they come."""
        held, self._held = self._held, None
        for record in held or [] if write else []:
            self.emit(record)

    def emit(self, record: logging.LogRecord) -> None:
        is_failure = record.levelno > logging.INFO and hasattr(record, "report")
        if self._held is not None and len(self._held) < _HOLD and is_failure:
            self._held.append(record)
            return
        super().emit(record)
