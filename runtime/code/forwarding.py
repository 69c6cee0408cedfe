"""An old function hands its calls on to what has taken its place: its code becomes a trampoline.

Whoever holds the old function reaches the new thing, be it a function of another shape, a class, or an object that a
decorator has made. Such an object can neither be patched nor lead anywhere itself; when it gives way in its turn, the
functions around it are led on: those that stood under the name before, and the one inside it, which it calls.
"""

from __future__ import annotations

import functools
import gc
import warnings
import weakref
from types import CellType, CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .commit import Commit

__all__ = ["FORWARD", "forward", "inside", "lead_bodies_on", "lead_on", "origin", "remember_function"]

FORWARD = "<live code: forwards to a newer definition>"
"""The file name of trampolines."""

_CONTAINED = (property, staticmethod, classmethod)
_EMPTY = CellType()
_DEEPEST = 3
"""Objects within objects that are looked through for the function inside."""
_TARGET = "the target"  # stands in the template's constants


def forward(commit: Commit, old: FunctionType, target: Any, *, as_member: bool = False) -> None:
    """Let whoever calls `old` call `target`. What forwarded to `old` so far goes to `target` at once: no chains.

    `as_member`: `old` is a method, and `target` an object that stands in its class in its place.
    """
    if old is target:
        return
    called = _AsMember(target) if as_member else target
    moving = [old, *(fn for fn in _leading_to(old) if fn is not target)]
    for fn in moving:
        body = inside(target, fn.__qualname__, fn.__globals__) if fn in _bodies else None
        if body is fn:
            continue
        remember_function(commit, fn)
        commit.retire(fn.__code__, fn)
        fn.__code__ = _trampoline(fn.__code__, called if body is None else body)
        fn.__defaults__ = fn.__kwdefaults__ = None
        commit.journal.undo(_note, fn, _led.get(fn))
        _note(fn, id(target if body is None else body))


def origin(made: Any, namespace: dict[str, Any]) -> FunctionType | None:
    """Return the plain function of a module that stood where `made`, which a decorator gave, was put in its place."""
    return next((fn for fn in _leading_to(made) if not fn.__closure__ and fn.__globals__ is namespace), None)


def lead_on(
    commit: Commit, old: Any, new: Any, qualname: str, namespace: dict[str, Any], *, is_member: bool = False
) -> None:
    """The definition of `qualname` has made `new`; before, it made `old`. One of them, or both, are objects that a
    decorator gave: who holds an undecorated function of before calls `new`, who holds `old` runs the newest body in it.
    """
    as_member = is_member and not isinstance(new, (FunctionType, type))
    if not isinstance(new, _CONTAINED) and (callable(new) or (as_member and hasattr(type(new), "__get__"))):
        for fn in _leading_to(old):
            forward(commit, fn, new, as_member=as_member)
        if as_member and isinstance(old, FunctionType) and old.__globals__ is namespace:
            forward(commit, old, new, as_member=True)
    if isinstance(old, FunctionType):
        return
    before, after = inside(old, qualname, namespace), inside(new, qualname, namespace)
    if before is not None and after is not None and before is not after:
        _bodies.add(before)
        forward(commit, before, after)


def lead_bodies_on(commit: Commit, old: Any, new: Any, qualname: str, namespace: dict[str, Any]) -> None:
    """`old`, a decorator's function, leads to `new` now: what is inside objects of before, and led to its body, goes along."""
    before, after = inside(old, qualname, namespace), inside(new, qualname, namespace)
    if before is not None and after is not None and before is not after:
        for fn in _leading_to(before):
            if fn in _bodies and fn is not after:
                forward(commit, fn, after)


def inside(made: Any, qualname: str, namespace: dict[str, Any], depth: int = 0) -> FunctionType | None:
    """Return the undecorated function of a module that `made` was made of, by its qualified name; or `made` itself."""
    if depth > _DEEPEST or isinstance(made, (type, ModuleType)):
        return None
    if isinstance(made, FunctionType):
        if (
            made.__globals__ is namespace
            and made.__qualname__ == qualname
            and "__wrapped__" not in made.__dict__
        ):
            return made
        parts = [cell.cell_contents for cell in made.__closure__ or () if cell != _EMPTY]
    elif callable(made) or hasattr(type(made), "__get__"):
        attributes = vars(made).values() if type(made).__dictoffset__ else ()
        parts = [*attributes, *gc.get_referents(made)]  # the latter: slots, and what C holds
    else:
        return None
    found = (inside(part, qualname, namespace, depth + 1) for part in parts)
    return next((fn for fn in found if fn is not None), None)


# Internals


class _AsMember:
    """An object in a class, called with the instance as a method would be: what a trampoline in a method's place calls."""

    __slots__ = ("member",)

    def __init__(self, member: Any) -> None:
        self.member = member

    def __call__(self, owner: Any, /, *args: Any, **kwargs: Any) -> Any:
        get = getattr(type(self.member), "__get__", None)
        bound = self.member if get is None else get(self.member, owner, type(owner))
        return bound(*args, **kwargs)


_forwarders: dict[int, dict[weakref.ref[FunctionType], None]] = {}
"""What forwards to something, by its id: to find it again without walking the heap. The target may be of any type, so also
neither hashable nor weakly referable; it lives as long as one leads to it.
"""
_led: weakref.WeakKeyDictionary[FunctionType, int] = weakref.WeakKeyDictionary()
"""Where in `_forwarders` a function is. It may be patched since, and lead nowhere: see `_leads`."""

_bodies: weakref.WeakSet[FunctionType] = weakref.WeakSet()
"""The functions inside objects: they lead to the one inside another object, not to that, which would decorate once more."""


def _note(fn: FunctionType, target: int | None) -> None:
    was = _led.pop(fn, None)
    if was is not None:
        _forget(was, weakref.ref(fn))
    if target is not None:
        _led[fn] = target
        _forwarders.setdefault(target, {})[weakref.ref(fn, functools.partial(_forget, target))] = None


def _forget(target: int, ref: weakref.ref[FunctionType]) -> None:
    refs = _forwarders.get(target, {})
    refs.pop(ref, None)
    if not refs:
        _forwarders.pop(target, None)


def _leading_to(target: Any) -> list[FunctionType]:
    found = [ref() for ref in _forwarders.get(id(target), ())]
    return [fn for fn in found if fn is not None and _leads(fn, target)]


def _leads(fn: FunctionType, target: Any) -> bool:
    code = fn.__code__
    return code.co_filename == FORWARD and any(
        constant is target or (type(constant) is _AsMember and constant.member is target)
        for constant in code.co_consts
    )


def remember_function(commit: Commit, fn: FunctionType) -> None:
    """Have a release that fails give `fn` back all that it is now."""
    kept = (
        fn.__code__,
        fn.__defaults__,
        fn.__kwdefaults__,
        fn.__doc__,
        fn.__annotations__,
        dict(fn.__annotations__),
        dict(fn.__dict__),
    )
    commit.journal.undo(_restore, fn, kept)


def _restore(fn: FunctionType, kept: tuple[Any, ...]) -> None:
    (
        fn.__code__,
        fn.__defaults__,
        fn.__kwdefaults__,
        fn.__doc__,
        fn.__annotations__,
        annotations,
        attributes,
    ) = kept
    fn.__annotations__.clear()
    fn.__annotations__.update(annotations)
    fn.__dict__.clear()
    fn.__dict__.update(attributes)


_templates: dict[int, CodeType] = {}


def _trampoline(old: CodeType, target: Any) -> CodeType:
    """Make code that calls `target` with all arguments, for a function with as many cells as `old` has.

    The target stands among the constants: a trampoline has no globals of its own to find it in.
    """
    cells = len(old.co_freevars)
    if cells not in _templates:
        names = ", ".join(f"c{i}" for i in range(cells))
        source = (
            f"def outer({names}):\n def inner(*args, **kwargs):\n  if 0: ({names})\n"
            f"  return {_TARGET!r}(*args, **kwargs)\n return inner\n"
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # a string is not callable
            module = compile(source, FORWARD, "exec")
        outer = next(c for c in module.co_consts if isinstance(c, CodeType))
        _templates[cells] = next(c for c in outer.co_consts if isinstance(c, CodeType))
    template = _templates[cells]
    constants = tuple(target if constant == _TARGET else constant for constant in template.co_consts)
    return template.replace(co_consts=constants, co_name=old.co_name, co_qualname=old.co_qualname)
