"""A real node with its own tree of code, to which a test pushes releases while people talk through it.

    with Site(tmp_path) as site:
        site.push({path: text, …})        # as tools/push would: a signed bundle over the control socket
        site.rollback()

The tree is a copy of `apps/` with one application more, `apps/probe`, which counts markers that releases leave in functions
(`mark`), keeps a crowd of servers, and answers questions over the control socket. The runtime is the project's.
"""

from __future__ import annotations

import ast
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

from runtime.admin.client import Client, OperationFailed
from runtime.admin.push_command import Difference
from runtime.code.keys import load_private
from tests.support.node import ROOT, Node

__all__ = ["Site", "Texts", "mark", "replaced"]

Texts = Mapping[str, str | None]
PROBE = Path(__file__).parent / "probe"
APPLICATIONS = '["apps.chat.application:Chat", "apps.probe.application:Probe"]'


class Site:
    """The tree, the node, and the way to it. `texts`: what the tree holds (path -> text), as it was at the beginning."""

    def __init__(self, directory: Path, *settings: str) -> None:
        self.directory = directory / "site"
        shutil.copytree(ROOT / "apps", self.directory / "apps", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(
            PROBE, self.directory / "apps" / "probe", ignore=shutil.ignore_patterns("__pycache__")
        )
        (self.directory / "apps" / "probe" / "__init__.py").write_text("")
        shutil.copytree(ROOT / "etc", self.directory / "etc")
        apps = sorted((self.directory / "apps").rglob("*.py"))
        self.texts = {path.relative_to(self.directory).as_posix(): path.read_text() for path in apps}
        self.node = Node(
            directory / "var", "code.mode=push", "code.probation=0", "code.keep=2000", "chat.delivery.resend_first=60", "runtime.hog_warn=0.5",
            f"node.applications={APPLICATIONS}", *settings,
            config=self.directory / "etc" / "node.toml", cwd=self.directory, environment={"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        self.pool = ThreadPoolExecutor(1)
        self.releases = 0
        """How many went live, up or down."""

    def __enter__(self) -> Site:
        self.node.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.pool.shutdown()
        self.node.close()

    def ask(self, operation: str, **arguments: Any) -> Any:
        """Ask the node. Blocks; raises OperationFailed."""
        with Client.connect(self.node.directory / "admin.sock") as client:
            return client.ask(operation, arguments, timeout=60.0)

    def push(self, changed: Texts, note: str = "") -> dict[str, Any]:
        """Push what runs with `changed` in it; return the release. Blocks; raises OperationFailed, and then nothing changed."""
        with Client.connect(self.node.directory / "admin.sock") as client:
            status = client.ask("status", timeout=60.0)
            texts = {path: text for path, text in changed.items() if text is not None}
            difference = Difference(status["files"], texts, [*changed])
            data = difference.bundle(
                status["running"]["id"], "a test", note, load_private(Path(status["key"]))
            )
            release: dict[str, Any] = client.ask("push", {"bundle": data, "force": True}, timeout=60.0)
        self.releases += 1
        return release

    def rollback(self, release: str = "") -> dict[str, Any]:
        """Go back to a release, or to the one before. Blocks; raises OperationFailed."""
        found: dict[str, Any] = self.ask("rollback", release=release, force=True)
        self.releases += 1
        return found

    def aside(self, fn: Callable[..., Any], *args: Any) -> Future[Any]:
        """Do it in a thread: the people go on meanwhile."""
        return self.pool.submit(fn, *args)

    def running(self) -> dict[str, Any]:
        """The release that runs."""
        found: dict[str, Any] = self.ask("status")["running"]
        return found

    def passed(self, marker: str) -> int:
        """How often a marker was passed."""
        return int(self.ask("hits_of").get(marker, 0))

    def refusal(self, changed: Texts) -> OperationFailed:
        """Push what must be refused; return the refusal."""
        try:
            release = self.push(changed)
        except OperationFailed as refused:
            return refused
        raise AssertionError(f"it was taken: {release}")

    def log(self) -> list[str]:
        """What the node has logged."""
        return self.node.log_file.read_text(errors="replace").splitlines()


def mark(text: str, function: str, marker: str, statement: str = "") -> str:
    """Return a module's text with a marker (and a statement) at the head of `function` ("Class.method" or "function")."""
    tree = ast.parse(text)
    found: Any = tree
    for part in function.split("."):
        found = next((node for node in found.body if getattr(node, "name", None) == part), None)
        assert found is not None, f"there is no {function}"
    body = found.body
    has_doc = isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant) and len(body) > 1
    line = body[1 if has_doc else 0].lineno - 1
    lines = text.splitlines(keepends=True)
    indent = " " * body[0].col_offset
    added = [f'{indent}hits.passed("{marker}")\n']
    if statement:
        added += [f"{indent}{row}\n" for row in statement.splitlines()]
    lines[line:line] = added
    return imported("".join(lines), "from apps.probe import hits")


def imported(text: str, statement: str) -> str:
    """Return a module's text with an import more, after those from __future__."""
    last = [
        node.end_lineno or 0
        for node in ast.parse(text).body
        if isinstance(node, ast.ImportFrom) and node.module == "__future__"
    ]
    lines = text.splitlines(keepends=True)
    at = last[-1] if last else 0
    lines[at:at] = [f"{statement}\n"]
    return "".join(lines)


def replaced(text: str, old: str, new: str) -> str:
    """Return a text with `old`, which is there once, replaced."""
    assert text.count(old) == 1, (text.count(old), old)
    return text.replace(old, new)
