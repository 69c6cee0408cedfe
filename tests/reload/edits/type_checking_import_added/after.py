from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from no_such_package_here import Thing


def apply(fn: Callable, x: Thing) -> Thing:
    return fn(x) + 1
