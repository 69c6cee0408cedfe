"""What a case of live code works with: a folder of managed code, an engine, and pushes of changed files.

A case is a folder with `before.py` and `after.py` (one module, `mod`), or with trees `before/` and `after/` (several),
further versions `after2`, `after3`, and a `check.py` whose `check(h)` loads the code, pushes and asserts. `H` is that h.
The engine is an adapter (adapter.py says what one offers), so that the same cases judge any engine.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any

__all__ = ["H", "Live", "NotApplicable", "Result", "modname", "run_case", "tree_of"]

Tree = dict[str, str]
"""Sources by path, relative to the root and posix."""
Files = Mapping[str, str | None]
"""What a push changes: new text by relative path; None: the file is deleted."""

# --------------------------------------------------------------------------------------------------------- types


class NotApplicable(Exception):
    """The engine does not offer what the case is about."""


class Result:
    """How a push ended: `ok`, or refused with `errors`. `info`: whatever the engine reports."""

    def __init__(self, ok: bool, errors: Iterable[Any] = (), info: Any = None) -> None:
        self.ok = ok
        self.errors = [str(error) for error in errors]
        self.info = info or {}

    def __repr__(self) -> str:
        return f"Result(ok={self.ok}, errors={self.errors[:2]})"


class Live:
    """A root with managed code on sys.path, an engine that watches over it, and pushes."""

    def __init__(self, engine: Any, root: Path, before: Tree) -> None:
        self.engine = engine
        self.root = root
        # File times are set by hand, each later than the last: two pushes within one tick of the clock differ too.
        self.t = time.time() - 10_000
        self.prev: dict[str, str | None] = {}
        for relative, text in before.items():
            self._write(relative, text)
        sys.path.insert(0, str(root))
        engine.start(self)

    def load(self, name: str = "mod") -> Any:
        """Import a module of the case."""
        return importlib.import_module(name)

    def mod(self, name: str = "mod") -> Any:
        """Return the module as it is now in sys.modules."""
        return sys.modules[name]

    def source(self, relative: str = "mod.py") -> str:
        return (self.root / relative).read_text()

    def line_of(self, text: str, relative: str = "mod.py") -> int:
        """The number of the first line that holds `text`."""
        return next(n for n, line in enumerate(self.source(relative).splitlines(), 1) if text in line)

    def now(self) -> Tree:
        """What lies in the root."""
        return {str(path.relative_to(self.root)): path.read_text() for path in self.root.rglob("*.py")}

    def difference(self, new: Tree) -> dict[str, str | None]:
        """The files to push to make the root what `new` says."""
        now = self.now()
        changed: dict[str, str | None] = {path: text for path, text in new.items() if now.get(path) != text}
        changed.update({path: None for path in now if path not in new})
        return changed

    def push_files(self, files: Files, expect: str = "ok") -> Result:
        """Write `files` and push them. `expect`: "ok", "refuse" (AssertionError if it ends otherwise) or "any"."""
        self.engine.loaded(self)
        self.prev = {path: self.source(path) if (self.root / path).exists() else None for path in files}
        for path, text in files.items():
            self._write(path, text)
        importlib.invalidate_caches()
        result: Result = self.engine.push(self, files)
        if expect == "ok":
            assert result.ok, f"refused: {result.errors[:1]}"
        elif expect == "refuse":
            assert not result.ok, "accepted what had to be refused"
        return result

    def rollback(self) -> Result:
        """Undo the last push by the engine's own roll-back, if it has one; else push the old files again."""
        if "rollback" not in self.engine.caps:
            return self.push_files(dict(self.prev))
        result: Result = self.engine.rollback(self)
        assert result.ok, f"roll-back failed: {result.errors[:1]}"
        return result

    def _write(self, relative: str, text: str | None) -> None:
        path = self.root / relative
        if text is None:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(path.name + ".tmp~")
        aside.write_text(text)
        aside.replace(path)
        self.t += 5
        os.utime(path, (self.t, self.t))


class H(Live):
    """A `Live` whose versions of the code lie in a case's folder."""

    def __init__(self, case_dir: str | Path, engine: Any, root: str | Path) -> None:
        self.case = Path(case_dir)
        super().__init__(engine, Path(root), self._tree("before"))

    def changes(self, which: str = "after") -> dict[str, str | None]:
        return self.difference(self._tree(which))

    def push(
        self, which: str = "after", expect: str = "ok", files: Files | None = None, partial: bool = False
    ) -> Result:
        """Push the version `which`, or `files`. `partial`: a file that the version lacks stays."""
        changed = self.changes(which) if files is None else dict(files)
        if partial:
            changed = {path: text for path, text in changed.items() if text is not None}
        return self.push_files(changed, expect)

    def need(self, *caps: str) -> None:
        """End the case as not applicable unless the engine offers all of `caps`."""
        for cap in caps:
            if cap not in self.engine.caps:
                self.na(f"the engine has no {cap!r}")

    def na(self, why: str = "not offered by this engine") -> None:
        raise NotApplicable(why)

    def _tree(self, which: str) -> Tree:
        return tree_of(self.case, which)


# ----------------------------------------------------------------------------------------------------------- API


def tree_of(case: Path, which: str) -> Tree:
    """The sources of one version of a case."""
    found = {}
    single, folder = case / f"{which}.py", case / which
    if single.exists():
        found["mod.py"] = single.read_text()
    if folder.is_dir():
        found |= {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*.py"))}
    return found


def modname(relative: str) -> str:
    """The module that a file is: "pkg/__init__.py" is "pkg"."""
    parts = list(PurePath(relative).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def run_case(engine: Any, case_dir: Path) -> tuple[str, str]:
    """Run one case in this process, which is spoilt afterwards. Returns ("PASS"|"FAIL"|"NA", why)."""
    spec = importlib.util.spec_from_file_location("case_check", case_dir / "check.py")
    assert spec is not None and spec.loader is not None
    check = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(check)
    root = tempfile.mkdtemp(prefix="reload_")
    try:
        check.check(H(case_dir, engine, root))
    except NotApplicable as error:
        return "NA", str(error)
    except BaseException:
        return "FAIL", traceback.format_exc()
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return "PASS", ""
