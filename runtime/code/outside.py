"""Which modules of the applications are not live code: those that were loaded from elsewhere than the managed folders.

An application whose start module, or whose supervisors, lie outside of `code.roots` runs as any program does, and a save
there changes nothing. Nobody would know why: so watch mode says it once, when it begins. The runtime itself and installed
packages are never live, and not spoken of, unless an application is one of them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from runtime.code.roots import Roots

__all__ = ["is_beneath", "not_live", "not_live_text"]

_RUNTIME = f"{Path(__file__).resolve().parents[1]}{os.sep}"
_INSTALLED = frozenset({"site-packages", "dist-packages"})
_SHOWN = 5
"""Modules that are named; the others are counted."""

# API


def not_live(roots: Roots, applications: Sequence[str] = ()) -> list[str]:
    """Return the loaded modules that a developer may take for live code and that are not, by name.

    They are those of the packages that the modules in `applications` belong to, and what else was imported from beneath
    `roots.base`. None where none of the folders is there: who has no live code misses none, and the start says so anyway.
    Blocks on files: some microseconds for each of those.
    """
    if not any(roots.path_of(folder).is_dir() for folder in roots.folders):
        return []
    packages = {name.partition(".")[0] for name in applications}
    found = []
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if name == "__main__" or not isinstance(path, str) or not path.endswith(".py"):
            continue
        is_ours = name.partition(".")[0] in packages or is_beneath(path, roots.base)
        if is_ours and not path.startswith(_RUNTIME) and not roots.owns(path):
            found.append(name)
    return sorted(found)


def not_live_text(modules: Sequence[str], roots: Roots) -> str:
    """Say which modules are not live, and what to do."""
    names = ", ".join(modules[:_SHOWN])
    more = f" and {len(modules) - _SHOWN} more" if len(modules) > _SHOWN else ""
    return (
        f"not live: {names}{more}: outside of code.roots ({', '.join(roots.folders)}), so a change there takes a restart; "
        "add the folder to code.roots to have it live"
    )


def is_beneath(path: str, base: Path) -> bool:
    """Tell whether a file was imported from a project: the base, without what was installed into it."""
    try:
        inner = Path(path).relative_to(base)
    except ValueError:
        return False
    return not any(part in _INSTALLED or part.startswith(".") for part in inner.parts)
