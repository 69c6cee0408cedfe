"""Watch mode: save a file, and it is live. One process, `code_watch`, turns changes on disk into releases.

Theory of operation: events of the file system (`hints`) say when to look, a look at the tree (`look`) says what differs from
what runs. Between the two is patience, so that nothing half done goes live and a `git checkout` is one release:

    quiet      no event for so long                                    but at most `max_wait` after the first one
    git        while .git/index.lock is there                          but at most `git_wait`: git may have died
    open       while a file that was written to is not closed          but at most `hold`
    doubtful   while a file is gone, emptied or does not compile       but at most `hold`; then it is so on purpose

Then everything that differs is pushed as one release. A batch that was refused is not tried again until some file of the
tree changes: a broken save is reported once, and the next good save takes all that waits live. Only changes of the tree
start a push, never the difference alone; and what was rolled back, or replaced by a push from elsewhere, goes live again
only when that very file changes: the next save of another one does not take it along.

A look also comes by itself every `look_every` seconds. It notices folders that appear, and changes nobody told of (a network
file system, more folders than the system has watches for): from then on, as when there are no events at all, the watcher
looks every `poll` seconds.

Keys: code.quiet, code.max_wait, code.hold, code.poll.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime import kernel
from runtime.code.errors import Refused
from runtime.code.hints import HINTED, Hints, NoEvents
from runtime.code.look import Look, Tree
from runtime.code.outside import not_live, not_live_text
from runtime.code.roots import Roots
from runtime.code.unwatched import Unwatched
from runtime.kernel import Process, clock
from runtime.otp.gen_server import GenServer
from runtime.otp.outcome import NoReply

__all__ = ["NAME", "WatchConfig", "Watcher"]

NAME = "code_watch"
_log = logging.getLogger("evergreen.code")
_DUE = "code_watch_due"
_BRIEF = 0.02
"""How often git's lock and an open file are looked at. (seconds)"""
_SHOWN = 5
"""Files that are named in a line."""
_TRIES = 3
"""How often a push is tried again while a process is busy."""

# Types


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchConfig:
    """All in seconds; see above."""

    quiet: float = 0.1
    max_wait: float = 2.0
    hold: float = 1.0
    git_wait: float = 10.0
    look_every: float = 2.0
    poll: float = 0.5


class Watcher(GenServer):
    """The process `code_watch`.

    `running()` returns {path: sha256} of what runs, `push(batch)` makes a release of {path: text or None} and blocks until
    it is live, or raises Refused (and has said so); `complain(text)` tells of files that cannot be read; `replaced()`
    returns {path: sha256 or None} of what a push or a rollback put something else in the place of. `applications`: the
    modules that the node starts; which of their modules are not watched is said once.
    """

    def init(
        self, roots: Roots, config: WatchConfig, running: Callable[[], Mapping[str, str]],
        push: Callable[[Mapping[str, str | None]], Any], complain: Callable[[str], None],
        replaced: Callable[[], Mapping[str, str | None]] = dict, applications: Sequence[str] = (),
    ) -> NoReply:  # fmt: skip
        self.roots = roots
        self.config = config
        self.running = running
        self.push = push
        self.complain = complain
        self.replaced = replaced
        self.applications = applications
        self.held: frozenset[str] = frozenset()
        """Files that were last said to be left alone."""
        self.tree = Tree(roots)
        self.outside = Unwatched(roots)
        self.hints = Hints(roots, kernel.self_())
        self.lock = _git_lock(roots.base)
        self.polls = False
        self.first: float | None = None
        """When the first change came that is not dealt with; None: there is none."""
        self.last = 0.0
        """When a change was last found that no event told of."""
        self.until = 0.0
        """Not before, unless something changes again."""
        self.doubts: float | None = None
        """Since when the batch is doubtful."""
        self.changed: frozenset[str] = frozenset()
        """Files with another content than when the last batch was dealt with."""
        self.dealt: Mapping[str, str | None] = {}
        """The batch that was pushed last, live or refused."""
        self.tries = 0
        self.is_refused = False
        """The last batch was refused."""
        self.unread: Mapping[str, str] = {}
        self.blind = ""
        """Why the files cannot be looked at."""
        self.unheard: frozenset[str] = frozenset()
        """Changed files that no event has named so far."""
        self.timer: Any = None
        return NoReply(continue_="begin")

    def on_exit(self, _process: Process, _reason: Any) -> None:
        """Whatever ends it: watch no more. (From the kernel: must not block.)"""
        if hasattr(self, "timer"):
            self.hints.close()
            if self.timer is not None:
                kernel.cancel_timer(self.timer)

    def handle_continue(self, value: Any) -> None:
        outside = kernel.blocking(not_live, self.roots, self.applications)
        if outside:
            _log.warning("%s", not_live_text(outside, self.roots))
        kernel.blocking(self.outside.look)
        self._attach()
        self.first = clock.now()  # what was edited while the node started
        self._step()

    def handle_info(self, message: Any) -> None:
        if message == HINTED:
            self.until = 0.0
            if self.first is None:
                self.first = clock.now()
            self._step()
        elif message == _DUE:
            self.timer = None
            if self.first is None:
                self._look_by_itself()
                self._look_outside()
            self._step()
        else:
            super().handle_info(message)

    # internals

    def _step(self) -> None:
        """Deal with what changed, if it is time to; arm the timer for the next step."""
        while self.first is not None:
            wait = self._patience(self.first, clock.now())
            if wait > 0:
                return self._arm(wait)
            self._deal(self.first)
        return self._arm(self.config.poll if self.polls else self.config.look_every)

    def _patience(self, first: float, now: float) -> float:
        """Seconds to wait before anything is concluded from what is on disk."""
        config = self.config
        if now < self.until:
            return self.until - now
        if self.lock is not None and now < first + config.git_wait and self.lock.exists():
            return _BRIEF
        if now >= first + config.max_wait:
            return 0.0
        quiet = min(max(first, self.hints.last, self.last) + config.quiet, first + config.max_wait)
        if now < quiet:
            return quiet - now
        written = self.hints.oldest_open()
        if written is not None:
            if now < written + config.hold:
                return _BRIEF
            self.hints.forget_open()
        return 0.0

    def _deal(self, first: float) -> None:
        """Look, and push what differs; or find that it is too early."""
        found = self._look()
        now = clock.now()
        if found is None:
            self.until = now + self.config.hold
            return
        self.changed |= found.changed
        if self.hints.is_new() and now < first + self.config.max_wait:
            return  # more came while we looked: be quiet again
        if found.doubtful or found.unread:
            self.doubts = now if self.doubts is None else self.doubts
            if now < self.doubts + self.config.hold:
                self.until = self.doubts + self.config.hold
                return
        changed, self.changed = self.changed, frozenset()
        self.first = self.doubts = None
        if found.unread != self.unread:
            self.unread = found.unread
            for path, why in found.unread.items():
                self.complain(f"{path} {why}")
        if not found.batch:
            self.dealt = {}
            if self.is_refused:
                self._release({}, changed)  # nothing to make live: what runs is there again
        elif changed and found.batch != self.dealt:
            self._release(found.batch, changed)
            self._say_held(found.held)

    def _release(self, batch: Mapping[str, str | None], changed: frozenset[str]) -> None:
        self.dealt = batch
        self.is_refused = False
        try:
            self.push(batch)
        except Refused as error:  # reported by whoever refused it
            if error.kind == "busy" and self.tries < _TRIES:
                self.tries += 1
                self.dealt = {}
                self.changed = changed
                self.first = clock.now()
                self.until = self.first + self.config.hold
                return
            self.is_refused = True
        self.tries = 0

    def _say_held(self, held: frozenset[str]) -> None:
        if held and held != self.held:
            paths = ", ".join(sorted(held)[:_SHOWN]) + (
                f" and {len(held) - _SHOWN} more" if len(held) > _SHOWN else ""
            )
            _log.warning(
                "not live: %s: what it has was rolled back or replaced by a push; it goes live when it changes",
                paths,
            )
        self.held = held

    def _look(self) -> Look | None:
        """Look at the tree; None when that is not possible just now."""
        named = self.hints.take()
        self.unheard -= named
        look = kernel.blocking(_outcome, self.tree.look, named, dict(self.running()), self.replaced())
        if isinstance(look, OSError):
            if self.blind != str(look):
                self.blind = str(look)
                self.complain(f"the files cannot be looked at, tried again and again: {look}")
            return None
        self.blind = ""
        return look  # type: ignore[no-any-return]

    def _look_by_itself(self) -> None:
        if self.unheard and not self.polls:
            self._poll(f"no event told of a change of {min(self.unheard)}")
        is_new = self._attach()
        look = self._look()
        if look is not None and look.changed:
            self.changed |= look.changed
            self.unheard = frozenset() if is_new else look.changed
            self.first = self.last = clock.now()

    def _look_outside(self) -> None:
        """What is saved beside the live code does not go live: say so."""
        found = kernel.blocking(self.outside.look)
        if found:
            _log.warning("%s", self.outside.text(found))

    def _attach(self) -> bool:
        """Watch the folders that are there; tell whether one of them was not watched before."""
        if self.polls:  # and never again: each try that fails may cost a descriptor
            return False
        new = kernel.blocking(_outcome, self.hints.attach)
        if isinstance(new, Exception):
            self._poll(str(new))
            return False
        return bool(new)

    def _poll(self, why: str) -> None:
        if not self.polls:
            self.polls = True
            self.hints.close()
            _log.warning("%s; the files are looked at every %g s instead", why, self.config.poll)

    def _arm(self, seconds: float) -> None:
        if self.timer is not None:
            kernel.cancel_timer(self.timer)
        self.timer = kernel.send_after(seconds, kernel.self_(), _DUE)


# Internals


def _outcome(fn: Callable[..., Any], *args: Any) -> Any:
    """In a thread: what fn returns, or the expected error; the thread pool would print one that is raised."""
    try:
        return fn(*args)
    except (OSError, NoEvents) as error:
        return error.with_traceback(None)


def _git_lock(base: Path) -> Path | None:
    """The file that git keeps while it changes the tree; None outside of git."""
    for folder in (base, *base.parents):
        git = folder / ".git"
        if git.is_dir():
            return git / "index.lock"
        if git.is_file():  # a linked working tree
            text = git.read_text(errors="replace").partition("gitdir:")[2].strip()
            return folder / text / "index.lock" if text else None
    return None
