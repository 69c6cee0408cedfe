"""Child specs and supervisor flags: what may be asked of a supervisor, checked before anything starts.

A spec or a set of flags that exists is valid: both are frozen and check themselves when they are made,
so a supervisor never meets a half-good one. What concerns several specs at once (an id used twice, a
significant child under a supervisor that never shuts down by itself) is checked by `check_specs`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, fields
from types import ModuleType
from typing import Any, Final, Literal

__all__ = [
    "BRUTAL_KILL",
    "INFINITY",
    "BadChildSpec",
    "BadFlags",
    "ChildSpec",
    "SpecError",
    "SupFlags",
    "check_specs",
    "class_spec",
    "to_flags",
    "to_spec",
]

# ---------------------------------------------------------------- types

INFINITY: Final = math.inf
BRUTAL_KILL: Final = "brutal_kill"
_MISSING: Final = "<missing>"

Restart = Literal["permanent", "transient", "temporary"]
Shutdown = float | Literal["brutal_kill"] | None
ChildType = Literal["worker", "supervisor"]
Strategy = Literal["one_for_one", "one_for_all", "rest_for_one", "simple_one_for_one"]
AutoShutdown = Literal["never", "any_significant", "all_significant"]
Start = tuple[Any, ...]  # (callable, args[, kwargs]); args is None once a temporary child's were dropped

_RESTARTS: Final = ("permanent", "transient", "temporary")
_TYPES: Final = ("worker", "supervisor")
_STRATEGIES: Final = ("one_for_one", "one_for_all", "rest_for_one", "simple_one_for_one")
_AUTO_SHUTDOWNS: Final = ("never", "any_significant", "all_significant")


class SpecError(ValueError):
    """A flag or a spec that a supervisor refuses: `.key`, `.value`, and what is `.allowed`."""

    _what = "supervisor input"

    def __init__(self, key: str, value: object, allowed: str, owner: object = None) -> None:
        where = "" if owner is None else f" of child {owner!r}"
        super().__init__(f"bad {self._what}{where}: {key} = {_short(value)}; allowed: {allowed}")
        self.key = key
        self.value = value
        self.allowed = allowed
        self.owner = owner


class BadChildSpec(SpecError):
    """A child spec is wrong; nothing was started."""

    _what = "child spec"


class BadFlags(SpecError):
    """The supervisor's flags are wrong; nothing was started."""

    _what = "supervisor flags"


@dataclass(frozen=True, slots=True)
class SupFlags:
    """How a supervisor treats its children as a whole.

    `intensity` restarts within `period` seconds are survived, the next one ends the supervisor with
    reason shutdown. All children share this one budget, and a restart that fails counts too.
    `auto_shutdown` says whether the own exit of a significant child ends the supervisor.
    Raises BadFlags. Source: OTP supervisor, sup_flags(); Elixir's default intensity is 3 in 5 s.
    """

    strategy: Strategy = "one_for_one"
    intensity: int = 1
    period: float = 5.0
    auto_shutdown: AutoShutdown = "never"

    def __post_init__(self) -> None:
        _one_of(BadFlags, "strategy", self.strategy, _STRATEGIES)
        if not isinstance(self.intensity, int) or isinstance(self.intensity, bool) or self.intensity < 0:
            raise BadFlags("intensity", self.intensity, "an int, 0 or more")
        if not _is_number(self.period) or not 0 < self.period < INFINITY:
            raise BadFlags("period", self.period, "seconds, more than 0 and finite")
        _one_of(BadFlags, "auto_shutdown", self.auto_shutdown, _AUTO_SHUTDOWNS)
        if self.strategy == "simple_one_for_one" and self.auto_shutdown != "never":
            raise BadFlags("auto_shutdown", self.auto_shutdown, "never, under simple_one_for_one")


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How to start, restart and stop one child.

    `start` is (callable, args) or (callable, args, kwargs); called in the supervisor's process, it must
    return the pid of a process linked to it, (pid, extra), or None when the child chose not to run. (A
    function of your own that calls start_link and forgets to return the pid says "chose not to run".)
    `shutdown` is float seconds, INFINITY, or BRUTAL_KILL; 5.0 for a worker, INFINITY for a supervisor
    (a shorter one could orphan its children). `modules` names the child's code for live code;
    "dynamic" when it is not known. Raises BadChildSpec: says which key, which value, what is allowed.
    """

    id: Hashable
    start: Start
    restart: Restart = "permanent"
    shutdown: Shutdown = None
    type: ChildType = "worker"
    modules: tuple[str, ...] | Literal["dynamic"] | None = None
    significant: bool = False

    def __post_init__(self) -> None:
        who = self.id
        try:
            hash(who)
        except TypeError:
            raise BadChildSpec("id", who, "anything hashable") from None
        object.__setattr__(self, "start", _check_start(self.start, who))
        _one_of(BadChildSpec, "restart", self.restart, _RESTARTS, who)
        _one_of(BadChildSpec, "type", self.type, _TYPES, who)
        object.__setattr__(self, "shutdown", _check_shutdown(self.shutdown, self.type, who))
        object.__setattr__(self, "modules", _check_modules(self.modules, self.start[0], who))
        if not isinstance(self.significant, bool):
            raise BadChildSpec("significant", self.significant, "True or False", who)
        if self.significant and self.restart == "permanent":
            raise BadChildSpec(
                "significant", True, "with restart transient or temporary: a permanent child never ends", who
            )

    def without_args(self, id: Hashable) -> ChildSpec:
        """This spec under `id`, its arguments dropped: what is kept of a running temporary child."""
        copy: ChildSpec = object.__new__(ChildSpec)
        for name in _FIELDS:
            object.__setattr__(copy, name, getattr(self, name))
        object.__setattr__(copy, "id", id)
        object.__setattr__(copy, "start", (self.start[0], None, None))
        return copy


_FIELDS: Final = tuple(f.name for f in fields(ChildSpec))
_FLAGS: Final = tuple(f.name for f in fields(SupFlags))


# ---------------------------------------------------------------- API


def class_spec(
    kind: Any, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None, **overrides: Any
) -> ChildSpec:
    """Return the spec of a child that `kind.start_link(*args, **kwargs)` starts.

    Its id is the name it is started under, if that is a string, else the class's; `overrides` are further keys of a
    ChildSpec, the id among them. Source: Elixir's child_spec/1 (there the id is the module, whatever the name).
    """
    given = dict(kwargs or {})
    name = given.get("name")
    if overrides.get("id") is None:
        overrides["id"] = name if isinstance(name, str) else getattr(kind, "__qualname__", kind)
    overrides.setdefault("type", getattr(kind, "_child_type", "worker"))
    unknown = overrides.keys() - set(_FIELDS)
    if unknown:
        raise BadChildSpec(
            min(unknown), overrides[min(unknown)], "one of " + ", ".join(_FIELDS), overrides["id"]
        )
    return ChildSpec(start=(kind.start_link, args, given), **overrides)


def to_spec(given: object, *, needs_id: bool = True) -> ChildSpec:
    """Make a spec of a ChildSpec, a mapping, a class with `start_link`, (class, args), (class, args, kwargs), or of
    anything with a `child_spec()` method.

    A class that has a `child_spec` is asked for it, with these arguments. Unknown keys of a mapping are accepted and
    ignored, so that a spec may carry its owner's notes. Without `needs_id` a mapping may lack one.
    """
    if isinstance(given, ChildSpec):
        if given.start[1] is None:
            raise BadChildSpec(
                "start", given.start, "arguments: those of a running temporary child are gone", given.id
            )
        return given
    if isinstance(given, Mapping):
        for key in ("id", "start"):
            if key not in given and (needs_id or key != "id"):
                raise BadChildSpec(key, _MISSING, "required in every child spec", given.get("id"))
        return ChildSpec(**{"id": None, **{name: given[name] for name in _FIELDS if name in given}})
    args: Any = ()
    kwargs: Any = {}
    if isinstance(given, tuple) and given and isinstance(given[0], type):
        kind: Any = given[0]
        if hasattr(kind, "start_link"):
            _, args, kwargs = _check_start((kind.start_link, *given[1:]), kind.__qualname__)
    else:
        kind = given
    maker = getattr(kind, "child_spec", None)
    if callable(maker):
        try:
            made = maker(*args, **(kwargs or {}))
        except SpecError:
            raise
        except Exception as error:  # the supervisor may be asking: a class's slip must not end the tree
            raise BadChildSpec("spec", given, f"what its child_spec takes ({error})") from error
        return to_spec(made)
    if isinstance(kind, type) and hasattr(kind, "start_link"):
        return class_spec(kind, args, kwargs)
    raise BadChildSpec(
        "spec",
        given,
        "a ChildSpec, a mapping, a class with start_link, or (class, args) or (class, args, kwargs)",
    )


def to_flags(given: object) -> SupFlags:
    """Make flags of SupFlags or of a mapping (unknown keys are ignored)."""
    if isinstance(given, SupFlags):
        return given
    if isinstance(given, Mapping):
        return SupFlags(**{name: given[name] for name in _FLAGS if name in given})
    raise BadFlags("flags", given, "SupFlags or a mapping")


def check_specs(given: Iterable[object], flags: SupFlags | None = None) -> dict[Hashable, ChildSpec]:
    """Check specs together, in start order; return them by id.

    Without `flags` only the specs are judged, as by OTP's supervisor:check_childspecs/1.
    """
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
        raise BadChildSpec("specs", given, "a list of child specs")
    specs: dict[Hashable, ChildSpec] = {}
    for one in given:
        spec = to_spec(one)
        if spec.id in specs:
            raise BadChildSpec("id", spec.id, "each id once (id=... sets another)", spec.id)
        if flags is not None:
            check_significant(spec, flags)
        specs[spec.id] = spec
    if flags is not None and flags.strategy == "simple_one_for_one" and len(specs) != 1:
        raise BadChildSpec("specs", list(specs), "exactly one spec under simple_one_for_one")
    return specs


def check_significant(spec: ChildSpec, flags: SupFlags) -> None:
    """Refuse a significant child whose exit could change nothing."""
    if spec.significant and flags.auto_shutdown == "never":
        raise BadChildSpec("significant", True, "only under auto_shutdown any or all _significant", spec.id)


# ---------------------------------------------------------------- internals


def _one_of(
    error: type[SpecError], key: str, value: object, allowed: tuple[str, ...], who: object = None
) -> None:
    # By type first: a list is not comparable by hash, and 1 == True must not pass for anything.
    if not isinstance(value, str) or value not in allowed:
        raise error(key, value, ", ".join(allowed), who)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)


def _check_start(start: object, who: object) -> Start:
    if not isinstance(start, tuple) or len(start) not in (2, 3):
        raise BadChildSpec("start", start, "(callable, args) or (callable, args, kwargs)", who)
    function, args = start[0], start[1]
    kwargs = start[2] if len(start) == 3 else None
    if not callable(function):
        raise BadChildSpec("start", start, "a callable first", who)
    if isinstance(function, type) and hasattr(function, "start_link"):
        raise BadChildSpec(
            "start", start, f"a function that starts it: {function.__qualname__}.start_link", who
        )
    if not isinstance(args, (tuple, list)):
        raise BadChildSpec("start", start, "a tuple or list of arguments second", who)
    if kwargs is not None and not isinstance(kwargs, Mapping):
        raise BadChildSpec("start", start, "a mapping of keyword arguments third", who)
    return (function, tuple(args), dict(kwargs) if kwargs else None)


def _check_shutdown(value: object, type_: ChildType, who: object) -> float | str:
    if value is None:
        return INFINITY if type_ == "supervisor" else 5.0
    if value == BRUTAL_KILL:
        return BRUTAL_KILL
    if not _is_number(value) or value <= 0:  # type: ignore[operator]  # _is_number says it is comparable
        raise BadChildSpec("shutdown", value, "seconds, more than 0; INFINITY; or BRUTAL_KILL", who)
    return float(value)  # type: ignore[arg-type]


def _check_modules(value: object, function: Callable[..., object], who: object) -> tuple[str, ...] | str:
    if value is None:
        # A bound classmethod (Counter.start_link) tells its class; that is the code which runs.
        owner = getattr(function, "__self__", None)
        name = getattr(owner, "__module__", None) or getattr(function, "__module__", None)
        return (name,) if isinstance(name, str) else "dynamic"
    if value == "dynamic":
        return "dynamic"
    if isinstance(value, (list, tuple)) and all(isinstance(m, (str, ModuleType)) for m in value):
        return tuple(m if isinstance(m, str) else m.__name__ for m in value)
    raise BadChildSpec("modules", value, 'a list of modules or their names, or "dynamic"', who)


def _short(value: object) -> str:
    text = value if value is _MISSING else repr(value)
    return str(text) if len(str(text)) <= 200 else str(text)[:200] + "…"
