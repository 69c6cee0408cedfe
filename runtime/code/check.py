"""The check aside: before a release goes live, it is imported from scratch in another process.

What an edit in place cannot show, a cold start does: a name deleted that an unchanged module still imports, a cycle of
imports that only holds because everything is loaded already, a top level that raises, blocks, starts threads or ends the
program; and `__selfcheck__()` of the changed modules can do what it likes without touching the node.

    code server ── call ──► port process ══ socket pair ══► child (check_child.py) ── fork ──► one check (check_import.py)

A *port* is the process that owns the child, in Erlang's sense: it starts it, talks with it by watchers on the loop, starts
another when it has died, and takes it along when it ends itself. The child is executed afresh and inherits nothing but
its end of the socket pair.

    checker = Checker(Roots(project, ["apps"]))
    checker.start()
    result = checker.check(sources, modules, changed)      # CheckResult, or raises Refused
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from runtime import kernel
from runtime.code.check_port import START, STOP, Port, Request, search_path
from runtime.code.check_wire import Failed, Settings
from runtime.code.errors import Refused, refused_syntax
from runtime.code.roots import Roots
from runtime.kernel import CallError, Pid, clock, send

__all__ = ["CheckResult", "Checker"]

LIMIT: Final = 10.0
"""Seconds that a check may take."""
MEMORY: Final = 1 << 30
"""Bytes that a check may allocate on top of what the child holds."""
OUTPUT: Final = 64 << 10
"""Bytes of what the modules print that are kept for the report."""
FLOOD: Final = 4 << 20
"""Bytes of output at which a check is ended: in the node they would have gone into its log."""

_WITHOUT: Final = (
    "the node's standard error may say more; code.check = false (and SIGHUP), or check=False from inside, goes without, and "
    "leaves only what the step itself finds"
)

# types


@dataclass(frozen=True)
class CheckResult:
    """All is well. `imports`: seconds of each module's own top level, in order; `selfchecks`: seconds of each self-check.

    `output`: what was printed (the first 64 KiB); `seconds`: all of it, as the caller waited.
    """

    imports: Mapping[str, float]
    selfchecks: Mapping[str, float]
    output: str
    seconds: float


# API


class Checker:
    """A handle on the child that checks; cheap until it is started. Processes only."""

    def __init__(self, roots: Roots, *, limit: float = LIMIT, memory: int = MEMORY) -> None:
        self.roots = roots
        self.limit = limit
        self.memory = memory
        self._port: Pid | None = None

    def start(self) -> None:
        """Start the child, linked to the caller, and do not wait for it. Without need: `check` does it too."""
        if self._port is None or not kernel.is_alive(self._port):
            port = Port(self._settings, kernel.self_())
            self._port = kernel.spawn_callback(port, link=True, label="code check")
            send(self._port, START)

    def check(
        self,
        sources: Mapping[str, str | None],
        modules: Sequence[str],
        changed: Sequence[str],
        *,
        limit: float | None = None,
        disk: bool = True,
    ) -> CheckResult:
        """Import `modules` in this order, cold, and run `__selfcheck__()` of the `changed` ones.

        `sources`: the text of every managed module by relative path, as it will be; None: deleted. What is not among them
        is taken from the disk when it is asked for (watch mode), or with `disk=False` not found (push mode). The order of
        `modules` should be that of a cold start, for a cycle of imports fails or not by where one enters it. Blocks the calling
        process, up to `limit` seconds (the checker's own when None) and, at first, a second for the child.

        Raises Refused: "syntax", "import", "selfcheck", "blocking" (it waits, hangs, or starts threads), or "check" when
        no check could be done.
        """
        self.start()
        seconds = self.limit if limit is None else limit
        request = Request(dict(sources), list(modules), list(changed), seconds, disk)
        begun = clock.now()
        try:
            answer = kernel.call(self._port, request, timeout=None)
        except CallError as error:
            raise Refused(
                f"the check could not be done: {error.reason}", kind="check", hint=_WITHOUT
            ) from None
        if isinstance(answer, Failed):
            raise _refusal(answer, sources)
        return CheckResult(answer.imports, answer.selfchecks, answer.output, clock.now() - begun)

    def stop(self) -> None:
        """End the child and wait until it is gone. Idempotent."""
        port, self._port = self._port, None
        if port is not None:
            try:
                kernel.call(port, STOP, timeout=None)
            except CallError:
                pass  # it is gone already

    def child(self) -> int | None:
        """The child's process id while it runs and is ready."""
        behaviour = getattr(self._port, "behaviour", None)
        return behaviour.ready if isinstance(behaviour, Port) else None

    def _settings(self) -> Settings:
        return Settings(
            path=search_path(),
            base=str(self.roots.base),
            folders=list(self.roots.folders),
            preload=[name for name in sys.modules if name.startswith("runtime.") and "testing" not in name],
            memory=self.memory,
            output=OUTPUT,
            flood=FLOOD,
        )


# internals


def _refusal(failed: Failed, sources: Mapping[str, str | None]) -> Refused:
    module, path, line = failed.module or None, failed.path or None, failed.line or None
    if failed.syntax is not None:
        said = failed.syntax
        error: type[SyntaxError] = {"IndentationError": IndentationError, "TabError": TabError}.get(
            said.error, SyntaxError
        )
        place = (path, line, said.column, said.text, said.end_line, said.end_column)
        source = sources.get(failed.path) or ""
        return refused_syntax(failed.module, failed.path, source, error(failed.text, place))
    excerpt = "".join(f"    {text}\n" for text in failed.traceback.splitlines()).rstrip()
    if failed.output:
        lines = failed.output.splitlines()
        excerpt += "\n    printed:\n" + "".join(f"    | {text[:100]}\n" for text in lines[-10:])
    return Refused(
        _said(failed),
        kind=failed.kind,
        module=module,
        path=path,
        line=line,
        excerpt=excerpt.strip("\n"),
        hint=_WITHOUT if failed.kind == "check" else "",
    )


def _said(failed: Failed) -> str:
    match failed.kind:
        case "selfcheck":
            return f"the self-check failed: {failed.text}"
        case "import":
            return f"cannot be imported: {failed.text}"
    return failed.text
