"""Whether the node should take on more: one flag, looked at by the front doors before a login.

A process samples once a second: memory of this process, mailboxes beyond their watermark, users. Above a mark new logins
are refused with `busy` and a time to come back, spread so that they do not all come back at once; below 90 % of it they
are welcome again. Those who are in are served in any case.

Settings: [chat.load].
"""

from __future__ import annotations

import logging
import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runtime.kernel import cancel_timer, hooks, is_failure, self_, send_after
from runtime.otp import GenServer

if TYPE_CHECKING:
    from runtime.kernel import Process, Timer

__all__ = ["Load", "LoadSampler", "LoadSettings"]

_log = logging.getLogger("chat.load")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_SAMPLE: Final = object()


@dataclass(frozen=True)
class LoadSettings:
    """`[chat.load]`. 0 switches a mark off. No slots: a setting may be added while it lives."""

    memory_max: int = 0
    long_mailboxes_max: int = 50
    retry_after: float = 10.0


class Load:
    """The flag and its reasons; written by the sampler, read by everybody."""

    def __init__(self, settings: LoadSettings) -> None:
        self.settings = settings
        self.busy = False
        self.why = ""
        self.memory = 0
        self.long: set[Process] = set()
        "processes beyond their watermark; who died meanwhile is taken out by `sample`"

    @property
    def long_mailboxes(self) -> int:
        return len(self.long)

    def retry_after(self) -> float:
        """Seconds after which to come back: spread over twice the setting."""
        return self.spread(self.settings.retry_after)

    @staticmethod
    def spread(seconds: float) -> float:
        """`seconds` to twice that, so that not all come back in the same moment."""
        return round(seconds * (1.0 + random.random()), 3)

    def sample(self) -> None:
        """Look, and set the flag."""
        settings = self.settings
        self.memory = _resident()
        self.long = {process for process in self.long if process.alive}
        ease = 0.9 if self.busy else 1.0
        why = ""
        if settings.memory_max and self.memory > settings.memory_max * ease:
            why = f"memory {self.memory >> 20} MiB"
        elif settings.long_mailboxes_max and self.long_mailboxes > settings.long_mailboxes_max * ease:
            why = f"{self.long_mailboxes} long mailboxes"
        if bool(why) is not self.busy:
            self.busy, self.why = bool(why), why
            words = f"new logins are refused: {why}" if why else "new logins are welcome again"
            _log.warning("%s", words, extra={"alarm": "busy"})

    def on_mailbox(self, process: Process, high: bool) -> None:
        """Kernel hook: a mailbox passed its high watermark, or came back."""
        if high:
            self.long.add(process)
        else:
            self.long.discard(process)


class LoadSampler(GenServer):
    """Samples once a second.

    What it has found is kept by `load`, and so is the hook while a crashed one is restarted: nothing is missed meanwhile.
    """

    timer: Timer | None = None

    def init(self, load: Load) -> None:
        if load.on_mailbox not in hooks.on_mailbox:
            hooks.on_mailbox.append(load.on_mailbox)
        self.load = load
        self.timer = send_after(1.0, self_(), _SAMPLE)

    def handle_info(self, message: Any) -> Any:
        if message is not _SAMPLE:
            return super().handle_info(message)
        self.load.sample()
        self.timer = send_after(1.0, self_(), _SAMPLE)
        return None

    def on_exit(self, process: Any, reason: Any) -> None:
        """Kernel: the process is dead, of whatever cause; perhaps it had not got through `init`."""
        if self.timer is None:
            return
        cancel_timer(self.timer)
        if not is_failure(reason) and self.load.on_mailbox in hooks.on_mailbox:
            hooks.on_mailbox.remove(self.load.on_mailbox)


def _resident() -> int:
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[1]) * _PAGE
    except OSError:
        return 0
