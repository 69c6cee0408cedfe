"""One send per connection and turn of the loop: the connections that wrote in this turn, flushed together at its end.

A protocol may write many times while it handles one batch; each write only joins the connection's queue, and the first of a turn
brings the connection here. What is flushed per call is bounded, so that the loop polls between two slices.

Invariant: a callback is due in the hub  <=>  a connection waits here, but within `_flush_all`. Only the loop's thread touches
this, and never across a yield.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.kernel import in_hub

if TYPE_CHECKING:
    from runtime.net.stream import Stream

__all__ = ["flush_soon"]

_SLICE = 128  # connections flushed before the loop may poll again

# API


def flush_soon(conn: Stream) -> None:
    """See to it that `conn._flush` is called in this turn of the loop. The caller marks it, so that it comes once."""
    global _is_due
    _dirty.append(conn)
    if not _is_due:
        _is_due = True
        in_hub(_flush_all)


# Internals

_dirty: list[Stream] = []
_is_due = False


def _flush_all() -> None:
    """Hub: one send for each connection that wrote."""
    global _is_due
    batch = _dirty[:_SLICE]
    del _dirty[:_SLICE]
    for conn in batch:
        conn._flush()
    _is_due = bool(_dirty)
    if _is_due:
        in_hub(_flush_all)
