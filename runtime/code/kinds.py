"""Kinds of failure: has this node failed in this way before?

A release may break code that it does not touch: it renames a method, and who calls it fails, in a file that is as it was.
Such failures are known by being new. A *kind* is the exception's type and the innermost function of managed code that it
passed through; where the message speaks of the code and not of data (a missing attribute, name, module, argument), the
message as well, but for numbers. So a caller that now misses another name than it has always missed fails in a new way.

A kind is remembered from its first time on, for as long as the node is up and knows fewer than some thousand others. What
came up in a probation that ended with the way back is forgotten: when the same comes again, it is new again.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import ClassVar, Final

from runtime.code.version import ModuleVersion

__all__ = ["Kinds", "kind_of", "users_of"]

_KEPT = 10_000
_LONGEST = 200
_ABOUT_CODE: Final = frozenset(
    {"AttributeError", "ImportError", "ModuleNotFoundError", "NameError", "TypeError", "UnboundLocalError"}
)
_NUMBERS = re.compile(r"0x[0-9a-fA-F]+|\d+")

# Types


class Kinds:
    """The kinds of one node, and when (the kernel's clock) each was first seen."""

    __handed_over__: ClassVar[bool] = True

    def __init__(self) -> None:
        self._first: OrderedDict[str, float] = OrderedDict()

    def note(self, kinds: Iterable[str], at: float) -> None:
        """Remember that these were seen."""
        for kind in kinds:
            self._first.setdefault(kind, at)
            self._first.move_to_end(kind)
        while len(self._first) > _KEPT:
            self._first.popitem(last=False)

    def are_new(self, kinds: Iterable[str], since: float) -> bool:
        """Tell whether one of them had not been seen before that time."""
        return any(self._first.get(kind, since) >= since for kind in kinds)

    def forget(self, since: float) -> None:
        """Forget those that were first seen since then: whose fault they were is gone."""
        for kind in [kind for kind, at in self._first.items() if at >= since]:
            del self._first[kind]


# API


def kind_of(error: str, message: str, file: str, function: str) -> str:
    """Return the kind of an exception (its class, its text) that passed through a function last."""
    about = _NUMBERS.sub("#", message[:_LONGEST]) if error in _ABOUT_CODE else ""
    return f"{error} {about} {file} {function}"


def users_of(modules: Mapping[str, ModuleVersion], names: Iterable[str]) -> set[str]:
    """Return the modules that import one of these, however indirectly; those themselves are not among them."""
    importers: dict[str, list[str]] = {}
    for name, version in list(modules.items()):
        for imported in version.imports:
            importers.setdefault(imported, []).append(name)
    changed = set(names)
    found, open_ = set(changed), list(changed)
    while open_:
        for name in importers.get(open_.pop(), ()):
            if name not in found:
                found.add(name)
                open_.append(name)
    return found - changed
