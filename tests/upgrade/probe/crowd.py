"""Ten thousand small servers whose state changes its form: version 1 of it."""

from __future__ import annotations

from typing import Any

from apps.probe import hits
from runtime.otp import GenServer

__vsn__ = 1


class Member(GenServer):
    """Counts what it is told, in rising numbers, and can be kept busy."""

    def init(self) -> None:
        self.count = 0
        self.last = 0

    def handle_cast(self, request: Any) -> None:
        self.count += 1
        if request <= self.last:
            hits.passed("disorder")
        self.last = request

    def handle_call(self, request: Any, sender: Any) -> Any:
        if request == "state":
            return dict(vars(self))
        return request(self)
