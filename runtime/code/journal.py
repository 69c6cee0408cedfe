"""The undo journal of one release: every touch of a living object goes through here, with how to take it back.

Undos run backwards, in the same step of the loop that made the changes, so nobody has seen either. On success the
journal is dropped whole: what it held (old code, old values) must not outlive the step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

__all__ = ["MISSING", "Journal", "Missing", "UndoFailed"]


class Missing:
    """The class of MISSING: no such name, no such attribute."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<missing>"


MISSING: Final = Missing()


class UndoFailed(RuntimeError):
    """A refused release could not be taken back wholly: what runs is neither the old code nor the new."""

    def __init__(self, error: Exception) -> None:
        super().__init__(
            f"a refused release could not be undone ({type(error).__name__}: {error}): some of its code stays; "
            "push the running release again, or restart the node"
        )


class Journal:
    """What was changed and how to undo it."""

    __slots__ = ("_containers", "_copies", "_namespaces", "_undo")

    def __init__(self) -> None:
        self._undo: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self._namespaces: dict[int, dict[str, Any]] = {}
        self._containers: dict[int, tuple[Any, Any]] = {}
        self._copies: set[int] = set()
        """The ids of the copies in these two, which hold them."""

    def undo(self, fn: Callable[..., Any], *args: Any) -> None:
        """Have `fn(*args)` called if the release fails."""
        self._undo.append((fn, args))

    def namespace(self, namespace: dict[str, Any]) -> dict[str, Any]:
        """Remember a module's namespace as it is now, once; return that copy."""
        kept = self._namespaces.get(id(namespace))
        if kept is None:
            kept = self._namespaces[id(namespace)] = dict(namespace)
            self._copies.add(id(kept))
            self.undo(_refill, namespace, kept)
        return kept

    def container(self, value: Any) -> None:
        """Remember what a dict, list or set holds now."""
        if id(value) not in self._containers:
            copy = value.copy()
            self._containers[id(value)] = (value, copy)
            self._copies.add(id(copy))
            self.undo(_refill, value, copy)

    def original(self, value: Any) -> Any:
        """Return what a container held before the release, as a copy; the container itself if it was not touched."""
        kept = self._containers.get(id(value))
        return value if kept is None else kept[1]

    def attribute(
        self, target: Any, name: str, value: Any, put: Callable[[Any, str, Any], None] = setattr
    ) -> None:
        """Set an attribute of an object that is no class; `object.__setattr__` does it past the object's own ideas."""
        before = getattr(target, name)
        self._undo.append((put, (target, name, before)))
        try:
            put(target, name, value)
        except BaseException:
            self._undo.pop()  # what cannot be set cannot be set back
            raise

    def class_attribute(self, cls: type, name: str, value: Any) -> None:
        """Set or, with MISSING, delete an attribute in a class's own dict, past any metaclass's own ideas."""
        self.undo(_put, cls, name, cls.__dict__.get(name, MISSING))
        _put(cls, name, value)

    def item(self, target: Any, key: Any, value: Any) -> None:
        """Set an item of a dict or list; MISSING deletes it from a dict."""
        if isinstance(target, dict):
            self.undo(_put_item, target, key, target.get(key, MISSING))
        else:
            self.undo(_put_item, target, key, target[key])
        _put_item(target, key, value)

    def roll_back(self) -> None:
        """Undo everything, last first. One that fails does not stop the others.

        Raises UndoFailed when one did.
        """
        undo, self._undo = self._undo, []
        failed: Exception | None = None
        while undo:
            fn, args = undo.pop()
            try:
                fn(*args)
            except Exception as error:  # noqa: BLE001 - half an undo would be worse
                failed = failed or error
        self._namespaces.clear()
        self._containers.clear()
        self._copies.clear()
        if failed is not None:
            raise UndoFailed(failed) from failed

    def knows(self, value: Any) -> bool:
        """Tell whether `value` is a copy of the journal's own: it must not be mistaken for the program's."""
        return id(value) in self._copies


def _refill(container: Any, content: Any) -> None:
    if isinstance(container, list):
        container[:] = content
    else:
        container.clear()
        container.update(content)


def _put(cls: type, name: str, value: Any) -> None:
    if value is not MISSING:
        type.__setattr__(cls, name, value)
    elif name in cls.__dict__:
        type.__delattr__(cls, name)


def _put_item(target: Any, key: Any, value: Any) -> None:
    if value is MISSING:
        target.pop(key, None)
    else:
        target[key] = value
