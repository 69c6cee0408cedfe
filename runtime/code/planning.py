"""Working out what a release will do: nothing is touched here, and whatever is wrong is refused here.

For each changed module its new source is compiled, its statements are paired with those that run, and each gets a verdict
(see `plan` and `compare`). Modules are put in the order of their imports; those that are new and not managed are imported.

Verdicts are about the module alone. What follows from them (a constant derived from a changed one, in this module or
another) is found in the step, when it is known which values did change.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from typing import Any

from .compare import compare
from .errors import Refused, refused_syntax
from .importer import Importer
from .plan import Change, Direction, Plan, Sources, Verdict
from .version import ModuleVersion

__all__ = ["make_plan", "read_imports"]

# API


def make_plan(
    importer: Importer,
    sources: Sources,
    direction: Direction = "up",
    pause: Callable[[], None] = lambda: None,
) -> Plan:
    """Compare `sources` with what runs. `pause` is called between slices of work.

    Raises:
        Refused: with what is wrong and where. Source files that are as they were are no part of the plan.
    """
    read_imports(importer, pause)
    changed: dict[str, tuple[ModuleVersion, ModuleVersion]] = {}
    added: dict[str, ModuleVersion] = {}
    gone: dict[str, ModuleVersion] = {}
    roots = importer.roots
    for relative, text in sources.items():
        _check_name(importer, relative)
        name = roots.module_of(relative)
        running = importer.modules.get(name)
        if text is None:
            if running is None or running.relative != relative:
                continue
            uncovered = _uncovered(importer, relative, sources)
            if uncovered is None:
                gone[name] = running
                continue
            relative, text = uncovered  # noqa: PLW2901
        if _is_hidden(running, relative, sources):
            continue
        if running is not None and running.source == text and running.relative == relative:
            continue
        pause()
        version = _compile(name, relative, str(roots.path_of(relative)), text, pause, whole=running is None)
        if running is None:
            added[name] = version
        else:
            changed[name] = running, version
    gone = {
        name: version for name, version in gone.items() if name not in changed
    }  # a module become a package
    _check_deleted(importer, gone, changed, added, direction)
    _import_foreign(importer, changed, added)
    plan = Plan({}, added, gone, dict(sources), direction)
    for name in _in_import_order(changed, added):
        pause()
        plan.modules[name] = compare(*changed[name], plan.changes, pause)
    _warm(importer, plan, pause)
    plan.changes += [Change(name, "import", name) for name in added]
    plan.changes += [Change(name, "delete", name) for name in gone]
    return plan


def read_imports(importer: Importer, pause: Callable[[], None]) -> None:
    """Learn what each loaded module imports, in slices: who has to follow whom. Known from then on."""
    for version in list(importer.modules.values()):
        if not version.is_read:
            pause()
            version.read(pause)
            version.forget_syntax(pause)


# Internals


def _check_name(importer: Importer, relative: str) -> None:
    if importer.roots.owns_relative(relative):
        return
    if not relative.endswith(".py"):
        raise Refused(
            "is no Python source: a running node cannot load it", kind="extension", path=relative,
            hint="restart the node to change extension modules and other files",
        )  # fmt: skip
    raise Refused(
        f"is not under {', '.join(importer.roots.folders)}: not managed as live code", kind="unmanaged", path=relative,
        hint="restart the node to change the runtime itself or installed packages",
    )  # fmt: skip


def _compile(
    name: str, relative: str, path: str, text: str, pause: Callable[[], None], *, whole: bool
) -> ModuleVersion:
    try:
        return ModuleVersion(name, relative, path, text, pause, whole=whole)
    except (SyntaxError, ValueError) as error:
        raise refused_syntax(name, relative, text, error) from None


def _is_hidden(running: ModuleVersion | None, relative: str, sources: Sources) -> bool:
    """Tell whether a file is a module's that stands beside the package of its name: nobody can import that."""
    package = f"{relative.removesuffix('.py')}/__init__.py"
    is_there = running is not None and running.relative == package
    return sources.get(package, "" if is_there else None) is not None


def _uncovered(importer: Importer, relative: str, sources: Sources) -> tuple[str, str] | None:
    """Return path and text of the module that counts again when the package beside it, of the same name, goes."""
    other = f"{relative.removesuffix('/__init__.py')}.py"
    if not relative.endswith("/__init__.py") or other in sources:
        return None
    path = importer.roots.path_of(other)
    is_there = path.exists() if importer.release is None else other in importer.release
    return (other, importer.text_of(other, str(path))) if is_there else None


def _check_deleted(
    importer: Importer,
    gone: Mapping[str, ModuleVersion],
    changed: Mapping[str, tuple[ModuleVersion, ModuleVersion]],
    added: Mapping[str, ModuleVersion],
    direction: Direction,
) -> None:
    unpacked = {n: old for n, (old, new) in changed.items() if old.is_package and not new.is_package}
    if not gone and not unpacked:
        return
    staying = {n: v for n, v in importer.modules.items() if n not in gone} | {
        n: v for n, (_, v) in changed.items()
    }
    for name, version in {**gone, **unpacked}.items():
        # Loaded, they are found without their package; whoever imports one later gets a package that does not know it.
        within = sorted(inner for inner in (*staying, *added) if inner.startswith(f"{name}."))
        is_folder = (
            direction == "down" and name in gone
        )  # it was one before the release that gave it an `__init__`
        if version.is_package and within and not is_folder:
            raise Refused(
                f"is deleted, but {', '.join(within[:3])} {'stays' if len(within) == 1 else 'stay'} within the package",
                kind="deleted", module=name, path=version.relative,
                hint="delete these in the same release, or leave it empty",
            )  # fmt: skip
    for name, version in gone.items():
        users = sorted(user for user, other in staying.items() if name in other.imports)
        if version.is_package and within:
            known = {inner.removeprefix(f"{name}.") for inner in within}
            users = [user for user in users if _names_of(staying[user], name) - known]
        if users:
            raise Refused(
                f"is deleted, but {', '.join(users[:3])} still {'imports' if len(users) == 1 else 'import'} it",
                kind="deleted", module=name, path=version.relative,
                hint="change these in the same release, or keep the file",
            )  # fmt: skip


def _names_of(version: ModuleVersion, module: str) -> set[str]:
    return {binding.original for binding in version.bindings if binding.base == module}


def _import_foreign(
    importer: Importer,
    changed: Mapping[str, tuple[ModuleVersion, ModuleVersion]],
    added: Mapping[str, ModuleVersion],
) -> None:
    """Import what is not managed and not imported yet: now, since an import may take its time or block."""
    wanted = [(n, v.imports - o.imports) for n, (o, v) in changed.items()] + [
        (n, v.imports) for n, v in added.items()
    ]
    for name, imports in wanted:
        for other in sorted(imports):
            if not other or other in sys.modules or not _is_foreign(importer, other):
                continue
            try:
                importlib.import_module(other)
            except Exception as error:
                raise Refused(
                    f"import {other}: {type(error).__name__}: {error}", kind="import", module=name,
                ) from error  # fmt: skip


def _is_foreign(importer: Importer, name: str) -> bool:
    """Tell whether `name` is a module that exists and is not managed."""
    parent = name.rpartition(".")[0]
    if parent and parent not in sys.modules:
        if not _is_foreign(importer, parent):
            return False
        importlib.import_module(parent)
    if parent and not hasattr(sys.modules[parent], "__path__"):
        return False
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return False
    return spec is not None and not (spec.origin and importer.roots.owns(spec.origin))


def _in_import_order(
    changed: Mapping[str, tuple[Any, ModuleVersion]], added: Mapping[str, ModuleVersion]
) -> list[str]:
    order: list[str] = []
    seen: set[str] = set()

    def visit(name: str) -> None:
        if name in seen:  # done, or a circle: whoever began it comes last, as in a cold start
            return
        seen.add(name)
        version = changed[name][1] if name in changed else added[name]
        for other in version.imports_in_order:
            if other in changed or other in added:
                visit(other)
        if name in changed:  # a new one is imported by whoever needs it, which needs what it imports itself
            order.append(name)

    # sys.modules has them in the order in which their imports ended: who came last entered a circle first.
    ended = {name: number for number, name in enumerate(sys.modules)}
    for name in sorted(changed, key=lambda name: ended.get(name, 0), reverse=True):
        visit(name)
    return order


def _warm(importer: Importer, plan: Plan, pause: Callable[[], None]) -> None:
    """Read the modules that may have to follow, now: the step has no time for it."""
    moving = {
        name for name, m in plan.modules.items()
        if m.reshaped or any(s.verdict in (Verdict.EXECUTE, Verdict.CLASS) for s in m.steps)
    }  # fmt: skip
    open_ = list(moving)
    while open_:
        base = open_.pop()
        for name, version in importer.modules.items():
            if name not in moving and name not in plan.modules and base in version.imports:
                moving.add(name)
                open_.append(name)
                plan.followers.append(name)
                version.read(pause)
