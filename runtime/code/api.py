"""Live code from inside: what a program, the shell or the control socket may ask of the code server.

All of it is for processes of a node with live code; elsewhere each call raises CallError (noproc). The words are Erlang's
where they mean what Erlang's do; where an answer is another than Erlang's, the function says so. What has no word there:
Erlang loads a module at a time (code:load_file/1), and installs a release by a relup written by hand
(release_handler:install_release/1); here a push is both, and finds out by itself how.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime import kernel
from runtime.code.asker import asker
from runtime.code.errors import Refused
from runtime.code.jobs import Answer, CodeEvent, Job, Status
from runtime.code.lingering import Lingering
from runtime.code.plan import Plan
from runtime.code.probation import Limits
from runtime.code.release_log import Release
from runtime.code.releaser import Done, Progress, Releaser
from runtime.code.server import NAME

__all__ = [
    "CodeEvent", "Lingering", "Refused", "Release", "Status", "configure", "confirm", "current", "diff", "is_loaded",
    "lingering", "plan", "purge", "push", "releaser", "releases", "rollback", "soft_purge", "status", "subscribe",
    "unsubscribe", "which",
]  # fmt: skip


def push(
    sources: Mapping[str, str | None], *, by: str = "", note: str = "", base: str | None = None, kind: str = "push",
    check: bool = True, extra: Any = None, force: bool = False, progress: Progress | None = None,
) -> Release:  # fmt: skip
    """Make `sources` live, all or nothing, and return the release; the one that runs if nothing is different.

    {path relative to the base directory: text; None: deleted}. `base`: the id of the release that it was made for, refused
    when another runs. `by`: who wants it; by default the user of the shell that the caller is. `force`: also if just this was taken back before. `extra` is handed to every `code_change`. `progress(stage, **facts)` is called from the worker.
    Blocks until it is live: a push waits for its turn, for its check, and up to `code.quiesce` for busy processes. A process
    whose own state the release changes cannot wait for it in a callback: that is refused.

    Raises Refused: nothing has changed, and the text says what, where, why and what to do. Source:
    release_handler:install_release/2, which restarts the node when it fails.
    """
    sources, by = dict(sources), by or asker()

    def work(releaser: Releaser, limits: Limits) -> Done:
        return releaser.push(
            sources, kind=kind, by=by, note=note, base=base, check=check, extra=extra, force=force,
            result=limits.first(kind), progress=progress,
        )  # fmt: skip

    return _asked(Job("watch" if kind == "watch" else "push", work, by))  # type: ignore[no-any-return]


def rollback(
    release: str | int | Release | None = None, *, by: str = "", why: str = "", note: str = "", extra: Any = None,
    force: bool = False, progress: Progress | None = None,
) -> Release:  # fmt: skip
    """Go back to an earlier release (id, number; None: the newest before that was not taken back), states included.

    Blocks as `push`. Raises Refused, also for a release that there is not, and (kind "bad") for one that was itself taken
    back, unless `force`: then it is on probation, like a push. Otherwise the release that was left is marked
    rolled_back; what runs then is a release of its own, of kind "rollback". Source: release_handler:install_release/1 of an
    older one, by its appup's downward instructions; here `code_change` is told ("down", version).
    """
    by = by or asker()

    def work(releaser: Releaser, limits: Limits) -> Done:
        return releaser.rollback(
            release, by=by, why=why, note=note, extra=extra, force=force, result=limits.first("push"), progress=progress
        )  # fmt: skip

    return _asked(Job("rollback", work, by))  # type: ignore[no-any-return]


def plan(sources: Mapping[str, str | None], *, base: str | None = None) -> Plan:
    """Return what `push` would change, and change nothing. Blocks for its turn. Raises Refused."""
    sources = dict(sources)
    return _asked(Job("plan", lambda it, _: it.plan(sources, base=base)))  # type: ignore[no-any-return]


def confirm() -> Release:
    """End the probation of the release that runs: it is good. Return it; without a probation nothing happens.

    Raises Refused when it is being rolled back already.
    """
    return _answered(kernel.call(NAME, "confirm", timeout=None))  # type: ignore[no-any-return]


def status() -> Status:
    """Return what runs, what is under way, and how the probation stands. Never waits for a push."""
    return kernel.call(NAME, "status")  # type: ignore[no-any-return]


def current() -> Release:
    """Return the release that runs."""
    return releaser().current


def releases() -> list[Release]:
    """Return all releases that are kept, oldest first, refused ones among them (`result` says what became of each).

    Source: release_handler:which_releases/0, newest first.
    """
    return releaser().log.releases()


def diff(a: str | int | Release, b: str | int | Release | None = None) -> dict[str, str]:
    """Return {path: unified difference} from release `a` to `b` (None: the one that runs).

    Blocks on files. Raises LookupError for a release that there is not.
    """
    here = releaser()
    old = here.log.find(a)
    new = here.current if b is None else here.log.find(b)
    return kernel.blocking(here.log.diff, old, new)  # type: ignore[no-any-return]


def which(module: str) -> str | None:
    """Return the path of a managed module's source, loaded or not; None when there is none.

    Source: code:which/1, which says non_existing then, and knows all modules; for what is not managed ask the module itself
    (`__file__`).
    """
    here = releaser()
    loaded = here.engine.modules.get(module)
    if loaded is not None:
        return loaded.path
    stem = module.replace(".", "/")
    for path in (f"{stem}/__init__.py", f"{stem}.py"):
        if path in here.current.files:
            return str(here.engine.roots.path_of(path))
    return None


def is_loaded(module: str) -> bool:
    """Tell whether a managed module is loaded. Source: code:is_loaded/1, which answers {file, Path}: see `which`."""
    return module in releaser().engine.modules


def lingering(module: str | None = None) -> list[Lingering]:
    """Return who still runs old code, of one module or of all, longest first: pid, function, line, version, since when.

    That is who has a frame in code that was replaced or removed, and a process whose server's class was removed. Never
    blocks; some 30 ns for each object there is, when there is old code at all. Source: erlang:check_process_code/2, asked of
    all; that finds funs too, which here run the new code.
    """
    return releaser().engine.retired.lingering(module)


def soft_purge(module: str) -> bool:
    """Tell whether nobody runs old code of a module; ends nobody. True for a module that was never changed.

    Source: code:soft_purge/1. There is nothing to remove: old code goes with its last user.
    """
    return releaser().engine.retired.soft_purge(module)


def purge(module: str, grace: float = 0.0) -> int:
    """Kill the processes that still run old code of a module after `grace` seconds; return how many. Blocks for `grace`.

    Their supervisors start them again, in new code. The caller is never killed, nor are threads. Source: code:purge/1, which
    gives no grace, and tells only whether somebody was killed.
    """
    return releaser().engine.retired.purge(module, grace)


def subscribe(pid: Any = None) -> None:
    """Send `pid` (default: the caller) a CodeEvent for whatever happens to releases, until it ends."""
    kernel.call(NAME, ("subscribe", pid if pid is not None else kernel.self_()))


def unsubscribe(pid: Any = None) -> None:
    """Send no more."""
    kernel.call(NAME, ("unsubscribe", pid if pid is not None else kernel.self_()))


def configure(limits: Limits) -> None:
    """Change the limits of probation, of one that is under way too."""
    kernel.cast(NAME, limits)


def releaser() -> Releaser:
    """Return what releases are made with: the engine, the release log. Only to look; changes go through the server."""
    return kernel.call(NAME, "releaser")  # type: ignore[no-any-return]


# Internals


def _asked(job: Job) -> Any:
    return _answered(kernel.call(NAME, job, timeout=None))


def _answered(answer: Answer) -> Any:
    if answer.error is not None:
        raise answer.error
    return answer.value
