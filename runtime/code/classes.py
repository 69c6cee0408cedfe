"""A changed class statement, applied to the living class: only what differs of its body runs, or, when the class is made
from its body (a dataclass, an enumeration, other bases), all of it, and the result is merged into the living class.

To run some statements of a class body as they would run in it (private names, `super()`, the class's own scope, its
qualified name), they are put into a class statement of the same name whose metaclass makes no class, but catches the
namespace.
"""

from __future__ import annotations

import ast
import types
from typing import TYPE_CHECKING, Any

from . import syntax
from .compare import is_made_from
from .errors import Refused
from .journal import MISSING
from .merge import merge_class, renew_abstract, set_member
from .plan import ClassPlan, Step, Verdict
from .purity import is_pure
from .registries import become, may_leak, remember, suspect
from .spread import namespace_of, propagate
from .statements import compile_statement, dependencies, save_containers
from .structs import is_struct
from .units import Unit, unannotated
from .version import ModuleVersion

if TYPE_CHECKING:
    from .commit import Commit

__all__ = ["change_class", "follow_class", "is_field_of_changed"]

_CATCHER = "__live_code_catcher__"
_OF_THE_BODY = frozenset(
    {"__module__", "__qualname__", "__classcell__", "__firstlineno__", "__static_attributes__"}
)


def change_class(
    commit: Commit,
    version: ModuleVersion,
    plan: ClassPlan,
    cls: type,
    namespace: dict[str, Any],
    path: tuple[type, ...] = (),
) -> None:
    """Make `cls` what the new class statement says. `path`: the classes that it is nested in, outermost first.

    Raises Refused.
    """
    chosen, rebuild = _choose(commit, version, plan, cls, namespace, path)
    if rebuild:
        if path:
            raise Refused(
                f"{plan.qualname}: a nested class would have to be made anew for a change elsewhere",
                kind="layout",
                module=version.name,
                line=plan.node.lineno,
                hint="move it to the top level",
            )
        _rebuild(commit, version, plan, cls, namespace)
        return
    if chosen:
        _run_members(commit, version, plan, cls, chosen, namespace, path)
    _delete(commit, version, plan, cls)
    _set_hash(commit, plan, cls)
    _set_doc(commit, plan, cls)
    renew_abstract(commit, cls)


def follow_class(
    commit: Commit,
    version: ModuleVersion,
    unit: Unit,
    cls: type,
    namespace: dict[str, Any],
    *,
    remake: bool = False,
) -> None:
    """A class statement that stands as it was is made from something that changed: let what depends on that follow.

    `remake`: all of it does, since a base was made anew.
    """
    change_class(commit, version, _unchanged(version, unit, cls, unit.name, remake), cls, namespace)


def is_field_of_changed(commit: Commit, version: ModuleVersion, unit: Unit, cls: Any) -> bool:
    """Tell whether a statement makes a Struct, or a field of it, that is of something which changed: by its annotation, for a
    decoder goes by that. One that is text is understood when it is first used; so a Struct made meanwhile knows the new.
    """
    if not (isinstance(cls, type) and is_struct(cls)):
        return False
    changed = commit.changed.get(version.name, set())
    if not changed and not commit.class_attributes:
        return False
    if isinstance(unit.node, ast.AnnAssign) and not changed.isdisjoint(unit.loads):
        return True
    if cls.__qualname__ in commit.replaced.get(version.name, ()):
        return False
    namespace = namespace_of(version.name) or {}
    return any(
        not changed.isdisjoint(syntax.loads(part))
        or any(
            (namespace.get(name), attribute) in commit.class_attributes
            for name, attribute in syntax.attribute_loads(part)
        )
        for part in syntax.quoted(unit.node)
    )


# Internals


def _unchanged(
    version: ModuleVersion, unit: Unit, cls: type, qualname: str, remake: bool = False
) -> ClassPlan:
    assert isinstance(unit.node, ast.ClassDef)
    steps = []
    for member in version.body_of(unit.node):
        living = cls.__dict__.get(member.name)
        inner = None
        if member.is_class and isinstance(living, type):
            inner = _unchanged(version, member, living, f"{qualname}.{member.name}")
        steps.append(Step(Verdict.KEEP, member, member, inner))
    return ClassPlan(qualname, unit.node, steps, [], remake, frozenset())


def _is_rebased(commit: Commit, module: str, node: ast.ClassDef) -> bool:
    """Tell whether a base or decorator was replaced by another object."""
    replaced = commit.replaced.get(module)
    if not replaced:
        return False
    header = [*node.bases, *node.keywords, *node.decorator_list]
    return any(not replaced.isdisjoint(syntax.loads(part)) for part in header)


def _choose(
    commit: Commit,
    version: ModuleVersion,
    plan: ClassPlan,
    cls: type,
    namespace: dict[str, Any],
    path: tuple[type, ...],
) -> tuple[list[ast.stmt], bool]:
    """Return the statements of the body that run, the changed and those made from something that changed; and whether
    the class must be made anew instead.
    """
    if plan.rebuild or _is_rebased(commit, version.name, plan.node):
        return [], True
    chosen: list[ast.stmt] = []
    moved: set[str] = set()
    following: list[Unit] = []
    nested: list[tuple[ClassPlan, type]] = []
    for step in plan.steps:
        unit = step.unit
        inner = cls.__dict__.get(unit.name)
        if step.class_plan is not None and isinstance(inner, type):
            nested.append((step.class_plan, inner))
        elif unit.is_text:
            continue
        elif step.verdict is Verdict.ANNOTATE:
            chosen.append(_bare(unit.node))
        elif step.verdict in (Verdict.EXECUTE, Verdict.CLASS) or not plan.together.isdisjoint(unit.names):
            chosen.append(unit.node)
            moved.update(unit.names)
        elif _follows(commit, version, step, namespace, moved, f"{plan.qualname}.") or is_field_of_changed(
            commit, version, unit, cls
        ):
            chosen.append(unit.node)
            moved.update(unit.names)
            following.append(unit)
    if is_made_from(cls, plan.node, [*following, *_reordered(plan)]):
        return [], True
    if not path and _is_read_by_others(commit, plan, cls):
        return [], True
    for inner_plan, inner in nested:
        change_class(commit, version, inner_plan, inner, namespace, (*path, cls))
    return chosen, False


def _is_read_by_others(commit: Commit, plan: ClassPlan, cls: type) -> bool:
    """Tell whether what changes is read while the class is made: an inner class of options, by a metaclass; an attribute,
    by a base's `__init_subclass__`.
    """
    inner, other = False, False
    for step in plan.steps:
        if step.verdict is Verdict.CLASS or (step.unit.is_class and step.verdict is Verdict.EXECUTE):
            inner = True
        elif step.verdict is Verdict.EXECUTE and step.unit.is_assignment:
            other = True
    inner = inner or any(unit.is_class for unit in plan.removed)
    other = other or any(unit.is_assignment for unit in plan.removed)
    hooks = (
        base.__dict__["__init_subclass__"] for base in cls.__mro__[1:] if "__init_subclass__" in base.__dict__
    )
    hook = getattr(next(hooks, None), "__func__", None)  # that of the bases, which has seen this class made
    is_hooked = getattr(hook, "__module__", None) in commit.importer.modules
    is_shaped = type(cls).__module__ in commit.importer.modules
    return (inner and (is_hooked or is_shaped)) or (other and is_hooked)


def _reordered(plan: ClassPlan) -> list[Unit]:
    """The statements that stand after one which they stood before: fields in another order make another constructor."""
    found, last = [], 0
    for step in plan.steps:
        line = step.old.node.lineno if step.old is not None else last
        if line < last:
            found.append(step.unit)
        last = max(last, line)
    return found


def _follows(
    commit: Commit,
    version: ModuleVersion,
    step: Step,
    namespace: dict[str, Any],
    moved: set[str],
    prefix: str,
) -> bool:
    unit = step.unit
    depends, replaced = dependencies(commit, version.name, unit, namespace)
    if not depends and moved.isdisjoint(unit.value_loads):
        return False
    if unit.is_function or unit.is_class:
        return True
    if unit.is_assignment and (replaced or is_pure(unit.node, namespace)):
        return True
    commit.keep(version.name, prefix + (unit.name or unit.kind.lower()), unit)
    return False


def _bare(node: ast.stmt) -> ast.stmt:
    assert isinstance(node, ast.AnnAssign)
    return ast.copy_location(ast.AnnAssign(node.target, node.annotation, None, node.simple), node)


class _ClassScope(dict[str, Any]):
    """The namespace of a class body that runs in part: what the body does not bind is found in the living class."""

    def __init__(self, living: type, own: frozenset[str] = frozenset()) -> None:
        super().__init__()
        self.living = living
        self.own = own
        """Names that only the statements which run bind: before they have, the living class's are not theirs."""

    def __missing__(self, name: str) -> Any:
        if name.startswith("__") or name in self.own or name not in self.living.__dict__:
            raise KeyError(name)
        return self.living.__dict__[name]


def _run_members(
    commit: Commit, version: ModuleVersion, plan: ClassPlan, cls: type, statements: list[ast.stmt],
    namespace: dict[str, Any], path: tuple[type, ...],
) -> None:  # fmt: skip
    running = {id(statement) for statement in statements}
    resting = {name for step in plan.steps if id(step.unit.node) not in running for name in step.unit.names}
    bound = {name for step in plan.steps if id(step.unit.node) in running for name in step.unit.names}
    caught = _catch(
        commit, version, plan.node, statements, (*path, cls), namespace, frozenset(bound - resting)
    )
    kept: dict[int, Any] = {}  # a new function -> the living one that took its code and stays
    # Tables come last: they may refer to methods.
    for name, value in sorted(caught.items(), key=lambda item: type(item[1]) in (dict, list, set, tuple)):
        if name in _OF_THE_BODY:
            continue
        if kept and name != "__annotations__":
            value = kept.get(id(value)) or _with_kept(value, kept)  # noqa: PLW2901
        if name == "__annotations__":
            own = cls.__dict__.get(name, {})
            commit.journal.class_attribute(cls, name, {**own, **value})
        elif name != "__doc__":
            set_member(commit, cls, name, value)
            if cls.__dict__.get(name) is not value:
                kept[id(value)] = cls.__dict__.get(name)
            commit.note(version.name, "member", f"{cls.__qualname__}.{name}")


def _with_kept(value: Any, kept: dict[int, Any]) -> Any:
    """Return a table that refers to the functions that stay; the very table if it refers to none."""
    if type(value) is dict and any(id(item) in kept for item in value.values()):
        return {key: kept.get(id(item), item) for key, item in value.items()}
    if type(value) in (list, set, tuple) and any(id(item) in kept for item in value):
        return type(value)(kept.get(id(item), item) for item in value)
    return value


def _catch(
    commit: Commit, version: ModuleVersion, node: ast.ClassDef, statements: list[ast.stmt], path: tuple[type, ...],
    namespace: dict[str, Any], own: frozenset[str],
) -> dict[str, Any]:  # fmt: skip
    """Run statements as the body of the innermost class of `path`, and return what they bind; `own`: see _ClassScope."""
    living = iter(path)
    outcome: list[dict[str, Any]] = []
    cells: list[tuple[types.CellType, type]] = []

    class Catcher(type):
        @classmethod
        def __prepare__(cls, _name: str, _bases: tuple[type, ...], /, **_: Any) -> _ClassScope:
            cls_now = next(living)
            return _ClassScope(cls_now, own if cls_now is path[-1] else frozenset())

        def __new__(cls, name: str, _bases: tuple[type, ...], scope: dict[str, Any], /, **_: Any) -> Any:
            # A plain class is made of it all the same: `type` wraps __new__, __init_subclass__, __class_getitem__.
            made = type.__new__(type, name, (), dict(scope))
            if "__classcell__" in scope:
                cells.append((scope["__classcell__"], scope.living))  # type: ignore[attr-defined]
            outcome.append({k: made.__dict__.get(k, v) for k, v in scope.items()})
            return made

    body = statements
    for cls in reversed(path):
        keyword = ast.keyword(arg="metaclass", value=ast.Name(id=_CATCHER, ctx=ast.Load()))
        made = ast.ClassDef(name=cls.__name__, bases=[], keywords=[keyword], body=body, decorator_list=[])
        ast.copy_location(made, node)
        made.end_lineno, made.end_col_offset = node.end_lineno, node.end_col_offset
        body = [made]
    ast.fix_missing_locations(body[0])
    commit.journal.namespace(namespace)
    remember(commit)
    for statement in statements:
        save_containers(commit, syntax.loads(statement), namespace)
    outer = path[0].__name__
    had = namespace.get(outer, MISSING)
    namespace[_CATCHER] = Catcher
    try:
        exec(compile_statement(version, body[0]), namespace)  # noqa: S102 - the program's own source
    finally:
        del namespace[_CATCHER]
        if had is MISSING:
            namespace.pop(outer, None)
        else:
            namespace[outer] = had
    for cell, cls in cells:  # now: __build_class__ wants to find there what it has made
        cell.cell_contents = cls
    return outcome[0]  # the innermost is finished first


def _rebuild(
    commit: Commit, version: ModuleVersion, plan: ClassPlan, cls: type, namespace: dict[str, Any]
) -> None:
    """Run the whole class statement and merge what it makes into the living class."""
    name = plan.node.name
    keep = {
        n
        for step in plan.steps
        if step.verdict in (Verdict.KEEP, Verdict.ANNOTATE) and step.unit.is_assignment
        if not dependencies(commit, version.name, step.unit, namespace)[0]
        for n in (_mangle(cls, name) for name in step.unit.names)
        if n in cls.__dict__ and type(cls.__dict__[n]) is not types.MemberDescriptorType
    }  # fmt: skip
    before = commit.journal.namespace(namespace)
    remember(commit)
    save_containers(commit, syntax.loads(plan.node), namespace)
    exec(compile_statement(version, plan.node), namespace)  # noqa: S102
    new = namespace[name]
    if new is cls:
        return
    if isinstance(new, type) and may_leak(plan.node, new):
        suspect(commit, new, cls)
    if not isinstance(new, type):  # a decorator made something else of it
        commit.mark(version.name, name)
        propagate(commit, version.name, name, before.get(name), new)
        return
    if not merge_class(commit, version.name, cls, new, keep=_kept(keep, cls, new), gone=_gone(plan, cls)):
        commit.mark(version.name, name, replaced=True)
        propagate(commit, version.name, name, cls, new)
        return
    namespace[name] = cls
    commit.remade.append(cls)
    if may_leak(plan.node, new):
        become(commit, new, cls)
    _step_down(new)
    commit.note(version.name, "class", cls.__qualname__)


def _kept(names: set[str], old: type, new: type) -> set[str]:
    """State in class variables stays; what a decorator makes of a field (its default) is taken from the new class."""
    fields = getattr(new, "__dataclass_fields__", {})
    return {n for n in names if n not in fields and n not in getattr(new, "_member_map_", ())}


def _gone(plan: ClassPlan, cls: type) -> set[str]:
    still = {name for step in plan.steps for name in step.unit.names}
    return {_mangle(cls, n) for unit in plan.removed for n in unit.names if n not in still}


def _delete(commit: Commit, version: ModuleVersion, plan: ClassPlan, cls: type) -> None:
    _tidy_annotations(commit, plan, cls)
    for name in _gone(plan, cls):
        if name in cls.__dict__:
            commit.journal.class_attribute(cls, name, MISSING)
            commit.class_attributes.add((cls, name))
            commit.note(version.name, "delete", f"{cls.__qualname__}.{name}")


def _tidy_annotations(commit: Commit, plan: ClassPlan, cls: type) -> None:
    annotations = cls.__dict__.get("__annotations__")  # noqa: RUF063 - its own, the very dict
    if annotations is None:
        return
    gone = unannotated([*plan.removed, *(s.old for s in plan.steps if s.old)], [s.unit for s in plan.steps])
    commit.journal.container(annotations)
    for name in gone:
        annotations.pop(_mangle(cls, name), None)
    if not annotations and gone:
        commit.journal.class_attribute(cls, "__annotations__", MISSING)


def _set_hash(commit: Commit, plan: ClassPlan, cls: type) -> None:
    """A class that defines `__eq__` and no `__hash__` has None for it, as if it were written there."""
    names = {name for step in plan.steps for name in step.unit.names}
    if "__hash__" in names or plan.node.decorator_list:  # a decorator has made its own
        return
    if "__eq__" in names and "__hash__" not in cls.__dict__:
        commit.journal.class_attribute(cls, "__hash__", None)
    elif any("__eq__" in unit.names for unit in plan.removed) and cls.__dict__.get("__hash__", 1) is None:
        commit.journal.class_attribute(cls, "__hash__", MISSING)


def _set_doc(commit: Commit, plan: ClassPlan, cls: type) -> None:
    texts = [unit for unit in plan.removed if unit.is_text]
    changed = any(step.unit.is_text and step.verdict is not Verdict.KEEP for step in plan.steps)
    if texts or changed:
        doc = ast.get_docstring(plan.node, clean=False)
        if cls.__dict__.get("__doc__") != doc:
            commit.journal.class_attribute(cls, "__doc__", doc)


def _mangle(cls: type, name: str) -> str:
    if name.startswith("__") and not name.endswith("__"):
        return f"_{cls.__name__.lstrip('_')}{name}"
    return name


class _Nobody:
    """Where the bases of a throw-away class lead, so that no base lists it among its subclasses."""


def _step_down(new: type) -> None:
    try:
        new.__bases__ = (_Nobody,)
    except TypeError:  # another layout than a plain object's: it goes with the next collection
        return
