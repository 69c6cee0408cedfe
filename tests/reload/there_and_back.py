"""One change and its way back, made on a living program, and compared with cold starts of both versions.

In a child of the nursery: start both versions cold and describe them (portrait.py); start the old one under an engine,
take hold of all its functions, bound methods and instances, push the new one; what can be reached by name must be as in
the cold start, and what is held must do what the new code does. Then the old version is pushed, downwards, and the
same must hold the other way round.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import importlib
import inspect
import sys
import tempfile
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.reload.children import engine
from tests.reload.harness import Live, Tree, modname
from tests.reload.portrait import differences, portrait

__all__ = ["MARK", "check", "check_program"]

MARK = "put here while it ran"
"""What the check puts into every module's STATE dicts: it must still be there afterwards."""

# --------------------------------------------------------------------------------------------------------- types


@dataclasses.dataclass
class Held:
    """Things that somebody got from the old program, by their path."""

    functions: dict[str, Callable[..., Any]]
    plain: set[str]
    """Those of the functions that no decorator has wrapped: the object itself must stay."""
    instances: dict[str, Any]
    classes: dict[str, type]
    methods: dict[str, Callable[..., Any]]
    states: dict[str, dict[Any, Any]]


# ----------------------------------------------------------------------------------------------------------- API


def check(*versions: Tree) -> list[str]:
    """Return what went wrong with a random program that goes through `versions` and back, as lines; nothing: all is well."""
    cold = [_cold(tree, None) for tree in versions]
    for tree, one in zip(versions, cold, strict=True):
        if one["broken"]:
            raise AssertionError(f"no program: {one['broken']} of {list(tree)} cannot be imported")
    return _changed(list(versions), cold, None)


def check_program(before: Tree, after: Tree, names: list[str]) -> list[str]:
    """As `check`, for the modules `names` of a real program: nothing of it is called.

    Modules that cannot be imported in one of the versions are left out (half a commit), and so are values that differ
    from start to start (times, random numbers). One line that begins with "half a commit" says that it was refused for
    what is left out.
    """
    old, new = _cold(before, names), _cold(after, names)
    is_half = False
    while broken := {*old["broken"], *new["broken"]}:  # again: one that failed may have left others behind
        is_half = True
        names = [name for name in names if name not in broken]
        old, new = _cold(before, names), _cold(after, names)
    problems = _changed([before, after], [old, new], names)
    if is_half and len(problems) == 1 and "refused: " in problems[0] and "ImportError: " in problems[0]:
        return [f"half a commit: {problems[0]}"]
    if problems:
        chance = {
            line.partition(": ")[0]
            for tree, cold in ((before, old), (after, new))
            for line in differences(_cold(tree, names)["portrait"], cold["portrait"])
        }
        problems = [line for line in problems if line.split(": ")[1] not in chance]
    return problems


# ----------------------------------------------------------------------------------------------------- internals


def _changed(versions: list[Tree], cold: list[dict[str, Any]], names: list[str] | None) -> list[str]:
    """Go through the versions and back. `names`: the modules of a real program; None: all of a random one."""
    gc.collect()
    problems: list[str] = []
    last = len(versions) - 1
    way = [("up", n) for n in range(1, last + 1)] + [("down", n) for n in range(last - 1, -1, -1)]
    with tempfile.TemporaryDirectory(prefix="reload_") as root:
        live = Live(engine(), Path(root), versions[0])
        for name in _loaded(versions[0], names):
            live.load(name)
        held = _hold(_modules(versions[0])) if names is None else None
        # What a version did not have is made afresh on the way back: hold nobody to that.
        through = set(cold[0]["held"]) if names is None else set()
        plain = set(held.plain) if held is not None else set()
        for direction, n in way:
            if direction == "up":
                result = live.push_files(live.difference(versions[n]), expect="any")
            else:
                result = live.engine.rollback(live)
            step = f"{direction} to {n}"
            if (
                not result.ok
                and getattr(result.info.get("refused"), "kind", "") == "layout"
                and held is not None
            ):
                # An honest no: live instances cannot take another layout. Then nothing may have changed.
                modules = {name: sys.modules[name] for name in cold[n - 1]["modules"]}
                found = differences(portrait(modules, _states(modules)), cold[n - 1]["portrait"])
                found += _contract(held, modules, cold[n - 1], through, plain)
                return [*problems, *(f"refused {step}: {line}" for line in found)]
            if not result.ok:
                return [*problems, f"{step}: refused: {result.errors[0]:.1500}"]
            modules = {name: live.load(name) for name in cold[n]["modules"]}
            found = differences(portrait(modules, _states(modules)), cold[n]["portrait"])
            if held is not None:
                through &= cold[n]["held"]
                plain &= through & cold[n]["plain"]
                found += _contract(held, modules, cold[n], through, plain)
            problems += [f"{step}: {line}" for line in found]
    return problems


def _loaded(tree: Tree, names: list[str] | None) -> list[str]:
    present = [modname(path) for path in sorted(tree)]
    return present if names is None else [name for name in names if name in present]


def _modules(tree: Mapping[str, str]) -> dict[str, types.ModuleType]:
    names = map(modname, tree)
    return {name: sys.modules[name] for name in names if name in sys.modules}


def _states(modules: Mapping[str, types.ModuleType]) -> set[str]:
    return {name for module in modules.values() for name in vars(module) if name.startswith("STATE")}


def _cold(tree: Tree, names: list[str] | None) -> dict[str, Any]:
    """Start `tree` without any engine, describe it, and forget it."""
    with tempfile.TemporaryDirectory(prefix="reload_") as root:
        for relative, text in tree.items():
            path = Path(root, relative)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        sys.path.insert(0, root)
        importlib.invalidate_caches()
        try:
            broken = []
            for name in _loaded(tree, names):
                try:
                    importlib.import_module(name)
                except ImportError:
                    broken.append(name)
            modules = _modules(tree)
            found: dict[str, Any] = {"modules": list(modules), "broken": broken}
            found["portrait"] = portrait(modules, _states(modules))
            if names is None:
                found["results"] = {path: _call(fn) for path, fn in _functions(modules)}
                found["plain"] = _hold(modules).plain
                found["held"] = set(found["results"]) | {path for path, _ in _classes(modules)}
                for path, cls in _classes(modules):
                    one = _made(cls)
                    methods = {f"{path}().{name}": _call(fn) for name, fn in _bound(one)}
                    found["results"] |= methods
                    found["held"] |= set(methods)
        finally:
            sys.path.remove(root)
            sys.path_importer_cache.pop(root, None)
            tops = {modname(path).partition(".")[0] for path in tree}
            for name in [name for name in sys.modules if name.partition(".")[0] in tops]:
                del sys.modules[name]  # also folders without an __init__, which are no file of the tree
    return found


def _functions(modules: Mapping[str, types.ModuleType]) -> Iterator[tuple[str, Callable[..., Any]]]:
    """What can be called without arguments and is defined where it is found."""
    for module, space in modules.items():
        for name, value in list(vars(space).items()):
            if name[0] == "f" and callable(value) and not _takes_function(value):
                if space.__name__ == getattr(value, "__module__", None):
                    yield f"{module}.{name}", value


def _takes_function(fn: Any) -> bool:
    """A decorator: its first parameter has no default."""
    parameters = list(inspect.signature(fn).parameters.values())
    return (
        bool(parameters) and parameters[0].default is inspect.Parameter.empty and parameters[0].kind in (0, 1)
    )


def _classes(modules: Mapping[str, types.ModuleType]) -> Iterator[tuple[str, type]]:
    for module, space in modules.items():
        for name, value in list(vars(space).items()):
            if isinstance(value, type) and value.__module__ == module and not issubclass(value, type):
                yield f"{module}.{name}", value


def _made(cls: type) -> Any:
    """An instance: of an enum, its first member."""
    return next(iter(cls)) if hasattr(cls, "__members__") else cls()


def _bound(one: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    """What can be called on an object, named with its kind and class: a static method that becomes a method, or a
    method that comes to be another class's, is another thing to who holds it.
    """
    for name in sorted(dir(type(one))):
        if name[0] == "m" or name == "shown":
            owner = next(cls for cls in type(one).__mro__ if name in vars(cls))
            kind = f"{type(vars(owner)[name]).__name__} of {owner.__module__}.{owner.__qualname__}"
            value = getattr(one, name)
            if isinstance(value, (types.MethodType, types.FunctionType)):
                yield f"{name} ({kind})", value


def _call(fn: Callable[..., Any]) -> str:
    """The result as text, whatever kind of function it is."""
    result: Any = fn()
    try:
        if inspect.isgenerator(result):
            result = list(result)
        elif inspect.iscoroutine(result):
            result.send(None)
        elif inspect.isasyncgen(result):
            return "async generator"
    except StopIteration as end:
        result = end.value
    return _shown(result)


def _shown(result: Any) -> str:
    if isinstance(result, tuple):
        return f"({', '.join(map(_shown, result))})"
    if inspect.iscoroutine(result):  # behind a decorator
        return _call(lambda: result)
    if inspect.isgenerator(result):
        return _shown(tuple(result))
    if inspect.isasyncgen(result):
        return "async generator"
    if isinstance(result, contextlib.AbstractContextManager):
        with result as inside:
            return f"within {_shown(inside)}"
    return repr(result)


def _hold(modules: Mapping[str, types.ModuleType]) -> Held:
    functions = dict(_functions(modules))
    classes = dict(_classes(modules))
    held = Held(
        functions=functions,
        plain={path for path, fn in functions.items() if getattr(fn, "__qualname__", "") == path.partition(".")[2]
               and isinstance(fn, types.FunctionType) and not hasattr(fn, "__wrapped__")},
        instances={path: _made(cls) for path, cls in classes.items()},
        classes=classes,
        methods={},
        states={},
    )  # fmt: skip
    for path, one in held.instances.items():
        held.methods |= {f"{path}().{name}": fn for name, fn in _bound(one)}
    for module, space in modules.items():
        for name, value in list(vars(space).items()):
            if name.startswith("STATE"):
                value[MARK] = module
                held.states[f"{module}.{name}"] = value
    return held


def _decoration(made: Any) -> list[str]:
    """What decorators have put around a function, from outside, and it."""
    found = []
    while made is not None:
        found.append(made.__code__.co_qualname if hasattr(made, "__code__") else type(made).__qualname__)
        made = vars(made).get("__wrapped__") or vars(made).get("fn")
    return found


def _contract(
    held: Held,
    modules: Mapping[str, types.ModuleType],
    cold: Mapping[str, Any],
    through: set[str],
    plain: set[str],
) -> Iterator[str]:
    """What is held does what the program does that is there now.

    `through`: what all versions so far had; `plain`: those of them that are functions without a decorator.
    """
    results = cold["results"]
    for path, fn in (held.functions | held.methods).items():
        if path not in through:
            continue
        is_object = path in held.functions and not isinstance(fn, types.FunctionType)
        if is_object and _decoration(fn) != _decoration(_at(modules, path)):
            continue  # it decorates as before
        if (got := _tried(fn)) != results[path]:
            yield f"held {path}: live {got} | cold {results[path]}"
    for path in plain:
        if _at(modules, path) is not held.functions[path]:
            yield f"held {path}: not the same function any more"
    for path, cls in held.classes.items():
        if path in through:
            if _at(modules, path) is not cls and not hasattr(
                cls, "__struct_fields__"
            ):  # a Struct may be exchanged
                yield f"held {path}: not the same class any more"
            if not isinstance(held.instances[path], _at(modules, path)):
                yield f"held {path}(): no instance of its class any more"
    for path, state in held.states.items():
        module, _, name = path.partition(".")
        if name in vars(modules[module]) and (vars(modules[module])[name] is not state or MARK not in state):
            yield f"{path}: the state is lost"


def _at(modules: Mapping[str, types.ModuleType], path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(modules[module], name)


def _tried(fn: Callable[..., Any]) -> str:
    try:
        return _call(fn)
    except Exception as error:
        return f"raises {error!r}"
