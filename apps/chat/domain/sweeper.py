"""Deletes answers to client ids that are older than they must be kept (`dedupe`), a few at a time.

One walk over all shards of this node takes about `PASS` seconds, in steps so small that nobody notices; a step that finds
much to delete is followed by the next one soon. Where it is lies in memory: after a restart it begins anew.

Settings: [chat.delivery] dedupe_for.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from apps.chat.domain import records
from apps.chat.domain.ids import now_ms
from apps.chat.domain.records import DEDUPE
from runtime.kernel import cancel_timer, self_, send_after
from runtime.otp import GenServer
from runtime.store import Del, StoreError

if TYPE_CHECKING:
    from apps.chat.domain.homes import Homes, HomeShard
    from runtime.kernel import Timer

__all__ = ["Sweeper"]

_log = logging.getLogger("chat.sweeper")
_STEP: Final = object()
STEP_RECORDS: Final = 256
PAUSE: Final = 0.25  # seconds between steps while records are being walked over
PASS: Final = 3600.0  # seconds of rest after a walk over everything


class Sweeper(GenServer):
    """One per node."""

    timer: Timer | None = None

    def init(self, homes: Homes) -> None:
        self.homes = homes
        self.todo: list[HomeShard] = []
        self.at = b""
        self.deleted = 0
        self.timer = send_after(PASS / 10, self_(), _STEP)

    def handle_info(self, message: Any) -> Any:
        if message is not _STEP:
            return super().handle_info(message)
        if not self.todo:
            self.todo, self.at = self.homes.shards, b""
        try:
            more = bool(self.todo) and self.step()
        except StoreError as error:
            _log.warning("sweeping was put off: %s", error)
            self.todo, more = [], False
        self.timer = send_after(PAUSE if more or self.todo else PASS, self_(), _STEP)
        return None

    def on_exit(self, process: Any, reason: Any) -> None:
        """Kernel: the process is dead, perhaps before it got through `init`. Its timer goes with it."""
        if self.timer is not None:
            cancel_timer(self.timer)

    def step(self) -> bool:
        """Look at the next records; True while this shard has more."""
        home = self.todo[-1]
        damaged: list[bytes] = []
        found = home.store.scan(DEDUPE, self.at, None, STEP_RECORDS, damaged)
        oldest = now_ms() - int(self.homes.delivery.dedupe_for * 1000)
        old = [Del(DEDUPE, record.key) for record in found if records.read_seen(record.val).time < oldest]
        old += [Del(DEDUPE, key) for key in damaged]
        if old:
            home.store.commit(old)
            self.deleted += len(old)
        if len(found) + len(damaged) < STEP_RECORDS:
            self.todo.pop()
            self.at = b""
            return False
        self.at = max([record.key for record in found[-1:]] + damaged) + b"\0"
        return True
