"""How much memory a value holds, near enough: the sizes of what can be reached from it, up to a number of objects."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from logging import Logger
from types import BuiltinFunctionType, CodeType, FrameType, FunctionType, MethodType, ModuleType
from typing import Any

from runtime.kernel import Pid, Ref
from runtime.observe.slices import Breather

__all__ = ["reached"]

_SHARED = (
    Pid, Ref, type, ModuleType, FunctionType, BuiltinFunctionType, MethodType, CodeType, FrameType, Logger,
)  # fmt: skip
"""What belongs to others, or to everybody: not followed and not counted."""

# API


def reached(root: Any, limit: int = 10_000, breather: Breather | None = None) -> int:
    """Return the bytes of `root` and of what it leads to, each object once, at most `limit` objects.

    Stops at processes, classes, modules and functions. What several processes share is counted for each of them.
    """
    if root is None:
        return 0
    breather = breather or Breather()
    sizeof: Callable[[Any], int] = sys.getsizeof
    seen = {id(root)}
    waiting = [root]
    total = 0
    for at in waiting:  # grows while it is walked
        total += sizeof(at, 0)  # type: ignore[call-arg]  # its second argument: for what does not tell
        if len(seen) < limit:
            for count, one in enumerate(gc.get_referents(at)):
                if not count & 255:
                    breather.take()  # it may be the table of a hundred thousand processes
                if id(one) not in seen and not isinstance(one, _SHARED):
                    seen.add(id(one))
                    waiting.append(one)
                    if len(seen) >= limit:
                        break
        breather.take()
    return total
