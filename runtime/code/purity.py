"""Which values may be made again when something that they are made from changes.

A derived constant (`LIMIT * 2`, `re.compile(WORD)`, `Decoder(Frame)`) must follow; a cache, a counter or a socket must
not be made twice. The line is drawn at calls: an expression may be evaluated again if it calls only what is known to
make plain values.
"""

from __future__ import annotations

import ast
import builtins
import enum
from collections.abc import Mapping
from types import ModuleType
from typing import Any

__all__ = ["is_pure"]

_METHODS = frozenset(
    {
        "as_posix", "copy", "count", "decode", "difference", "encode", "endswith", "format", "format_map", "fromkeys", "get",
        "hex", "index", "intersection", "isoformat", "items", "join", "joinpath", "keys", "lower", "lstrip", "partition",
        "replace", "rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "title", "to_bytes",
        "total_seconds", "union", "upper", "values", "with_suffix",
    }
)  # fmt: skip
"""Methods of the built-in values that make another one."""
_BUILTINS = frozenset(
    {
        "abs", "all", "any", "bool", "bytes", "chr", "complex", "dict", "divmod", "enumerate", "float", "frozenset",
        "getattr", "hash", "hex", "int", "isinstance", "issubclass", "len", "list", "map", "max", "min", "oct", "ord", "pow",
        "property", "range", "repr", "reversed", "round", "set", "sorted", "str", "sum", "tuple", "type", "zip",
    }
)  # fmt: skip
_MODULES = frozenset(
    {
        "collections.namedtuple", "collections.OrderedDict", "dataclasses.field", "datetime.date", "datetime.datetime",
        "datetime.time", "datetime.timedelta", "datetime.timezone", "decimal.Decimal", "fractions.Fraction",
        "functools.partial", "ipaddress.ip_address", "ipaddress.ip_network", "itertools.chain", "math.ceil", "math.floor",
        "math.log", "math.log2", "math.sqrt", "msgspec.inspect.type_info", "msgspec.json.Decoder", "msgspec.json.Encoder",
        "msgspec.msgpack.Decoder", "msgspec.msgpack.Encoder", "operator.attrgetter", "operator.itemgetter",
        "operator.methodcaller", "pathlib.Path", "pathlib.PosixPath", "pathlib.PurePath", "pathlib.PurePosixPath",
        "re.compile", "re.escape", "string.Template", "struct.Struct", "_struct.Struct", "struct.calcsize",
        "_struct.calcsize", "textwrap.dedent", "types.MappingProxyType", "builtins.mappingproxy", "typing.cast",
        "typing.NamedTuple", "typing.NewType", "typing.TypedDict", "typing.TypeVar", "typing.get_args",
        "typing.get_type_hints", "uuid.UUID",
    }
)  # fmt: skip
"""Functions and classes of libraries that make plain values, by module and qualified name."""


def is_pure(node: ast.AST, namespace: Mapping[str, Any]) -> bool:
    """Tell whether what `node` evaluates may be evaluated again in `namespace` for nothing but its value."""
    stack = [node]
    while stack:
        part = stack.pop()
        if isinstance(part, (ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)):
            return False
        if isinstance(part, ast.Call) and not _makes_a_value(part.func, namespace):
            return False
        if isinstance(part, ast.Lambda):  # what it does, it does when it is called
            stack.extend((*part.args.defaults, *filter(None, part.args.kw_defaults)))
        else:
            stack.extend(ast.iter_child_nodes(part))
    return True


def _makes_a_value(called: ast.expr, namespace: Mapping[str, Any]) -> bool:
    target = _resolve(called, namespace)
    if target is None:
        return isinstance(called, ast.Attribute) and called.attr in _METHODS
    if isinstance(target, type) and _is_value_type(target):
        return True
    name = getattr(target, "__qualname__", None) or getattr(target, "__name__", "")
    module = getattr(target, "__module__", None)
    if module == builtins.__name__ and name in _BUILTINS:
        return True
    if f"{module}.{name}" in _MODULES:
        return True
    return isinstance(called, ast.Attribute) and called.attr in _METHODS


def _resolve(called: ast.expr, namespace: Mapping[str, Any]) -> Any:
    """Return what is called, if that can be told without calling anything: a name, or names with dots."""
    if isinstance(called, ast.Name):
        return namespace.get(called.id, getattr(builtins, called.id, None))
    if isinstance(called, ast.Attribute):
        owner = _resolve(called.value, namespace)
        if isinstance(owner, (ModuleType, type)):
            return owner.__dict__.get(called.attr)
    return None


def _is_value_type(cls: type) -> bool:
    """Tell whether making an instance does nothing but make it."""
    if issubclass(cls, enum.Enum):
        return True
    if hasattr(cls, "__post_init__"):
        return False
    if hasattr(cls, "__struct_fields__"):
        return True
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return True
    parameters = getattr(cls, "__dataclass_params__", None)
    return parameters is not None and parameters.frozen and "__init__" in cls.__dict__ and parameters.init
