"""Plain values back into what `snapshot` returns: for what was written into a file, or came over a socket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from runtime.observe.snapshot_types import ProcessDetail, ProcessRow, TreeNode

__all__ = ["detail_of", "made", "tree_of"]

T = TypeVar("T")

# API


def made(cls: type[T], values: Mapping[str, Any]) -> T:
    """Return a dataclass of `values`; fields that it does not have are left out, for what an older or newer node wrote."""
    known = {one.name for one in fields(cls)}  # type: ignore[arg-type]  # one of snapshot_types
    return cls(**{key: tuple(v) if isinstance(v, list) else v for key, v in values.items() if key in known})


def detail_of(values: Mapping[str, Any]) -> ProcessDetail:
    """Return the detail of one process."""
    row = made(ProcessRow, values["row"])
    senders = tuple((str(who), int(count)) for who, count in values["senders"])
    return made(ProcessDetail, {**values, "row": row, "senders": senders})


def tree_of(values: Mapping[str, Any]) -> TreeNode:
    """Return a node of the tree with all below it."""
    return made(TreeNode, {**values, "children": tuple(tree_of(one) for one in values.get("children", ()))})
