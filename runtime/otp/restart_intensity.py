"""Restart intensity: how many restarts a supervisor survives within a period.

OTP keeps every restart of the period in a list and counts the list at each restart, so a storm of
thousands within one period makes each restart dearer than the one before. Here only the last
`intensity` times are kept: the budget is spent exactly when the oldest of them is still in the period.
"""

from __future__ import annotations

from collections import deque

__all__ = ["RestartIntensity"]


class RestartIntensity:
    """Count restarts; O(1) in time per restart, at most `intensity` times kept.

    Invariant: `_times` holds the last min(restarts, intensity) restart times, oldest first.
    """

    __slots__ = ("_times", "intensity", "period")

    def __init__(self, intensity: int, period: float) -> None:
        self.intensity = intensity
        self.period = period
        self._times: deque[float] = deque(maxlen=intensity)

    def spend(self, now: float) -> bool:
        """Record a restart at `now` (seconds, monotonic); False when it is one too many.

        Both edges of the period belong to it, as in OTP: a restart exactly `period` seconds old counts.
        """
        times = self._times
        if len(times) == self.intensity and (not times or now - times[0] <= self.period):
            return False
        times.append(now)  # a full deque lets its oldest go by itself
        return True

    def forgive(self) -> None:
        """Forget the restarts so far: what caused them has been mended."""
        self._times.clear()

    def change(self, intensity: int, period: float) -> None:
        """Take new limits and keep what is already counted (code_change)."""
        self.intensity = intensity
        self.period = period
        self._times = deque(self._times, maxlen=intensity)

    def recent(self, now: float) -> int:
        """Restarts within the period before `now`: for inspection."""
        return sum(1 for t in self._times if now - t <= self.period)
