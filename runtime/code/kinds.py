"""Kinds of failure: has this node failed in this way before?

A release may break code that it does not touch: it renames a method, and who calls it fails, in a file that is as it was.
Such failures are known by being new. A *kind* is the exception's type and the innermost function of managed code that it
passed through; where the message speaks of the code and not of data (a missing attribute, name, module, argument), the
message as well, but for numbers. So a caller that now misses another name than it has always missed fails in a new way.

A place that has failed with several such messages gets them from data (`getattr(self, "on_" + what_the_peer_said)`): from then
on each is what it does anyway. Else whoever is outside could make up new kinds, and take back a good release by them.

A kind is remembered from its first time on, for as long as the node is up and knows fewer than some thousand other places.
What came up in a probation that ended with the way back is forgotten: when the same comes again, it is new again.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import ClassVar, Final, NamedTuple

from runtime.code.version import ModuleVersion

__all__ = ["Kind", "Kinds", "kind_of", "users_of"]

_KEPT = 10_000
_LONGEST = 200
_TEXTS: Final = 5
"""So many messages from one place, and they are of data."""
_ABOUT_CODE: Final = frozenset(
    {"AttributeError", "ImportError", "ModuleNotFoundError", "NameError", "TypeError", "UnboundLocalError"}
)
_NUMBERS = re.compile(r"0x[0-9a-fA-F]+|\d+")

# Types


class Kind(NamedTuple):
    """`place`: the exception, and where; `about`: what the message says of the code, or empty."""

    place: str
    about: str


class Kinds:
    """The kinds of one node, and when (the kernel's clock) each was first seen. May be told of them in any thread."""

    __handed_over__: ClassVar[bool] = True

    def __init__(self) -> None:
        self._places: OrderedDict[str, dict[str, float]] = OrderedDict()
        """For each place its first few messages."""

    def note(self, kinds: Iterable[Kind], at: float) -> None:
        """Remember that these were seen."""
        for place, about in kinds:
            texts = self._places.pop(place, {})
            if len(texts) < _TEXTS:
                texts.setdefault(about, at)
            self._places[place] = texts  # as the last one
        while len(self._places) > _KEPT:
            self._places.popitem(last=False)

    def are_new(self, kinds: Iterable[Kind], since: float) -> bool:
        """Tell whether one of them had not been seen before that time."""
        return any(self._is_new(kind, since) for kind in kinds)

    def forget(self, since: float) -> None:
        """Forget those that were first seen since then: whose fault they were is gone."""
        for place, texts in list(self._places.items()):
            before = {about: at for about, at in list(texts.items()) if at < since}
            if not before:
                self._places.pop(place, None)
            elif len(before) < len(texts):
                self._places[place] = before

    # internals

    def _is_new(self, kind: Kind, since: float) -> bool:
        texts = self._places.get(kind.place, {})
        if sum(at < since for at in list(texts.values())) >= _TEXTS:
            return False
        return texts.get(kind.about, since) >= since


# API


def kind_of(error: str, message: str, file: str, function: str) -> Kind:
    """Return the kind of an exception (its class, its text) that passed through a function last."""
    about = _NUMBERS.sub("#", message[:_LONGEST]) if error in _ABOUT_CODE else ""
    return Kind(f"{error} {file} {function}", about)


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
