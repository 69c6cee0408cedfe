"""What `tools/push` asks of a node: status, plan, push, follow, list, show, diff, roll back, confirm.

Theory of operation of a push: the bundle is opened (signature, form, hashes: `code.bundle`), then held against what only the
node knows, in this order: its base is the running release; its paths are managed; the release that it says it leads to is
the one that it leads to; its nonce is new. The nonce is written down before anything happens, so a bundle is used once,
whatever becomes of it. Then the code server has it. Nothing here touches code or processes.

Who may: over the Unix socket, a user that the node trusts as itself may go back and confirm; over TLS that needs an order
signed by a key with the role `rollback`. A push needs a signed bundle everywhere: what runs can be traced to a key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.admin.live_code import LiveCode
from runtime.admin.operations import Denied, Handler, Operations, Request
from runtime.code.blobs import BlobDamaged
from runtime.code.bundle import (
    RUNTIME_VERSION,
    BadBundle,
    Limits,
    Opened,
    python_version,
    unpack,
    unpack_order,
)
from runtime.code.errors import Refused
from runtime.code.keys import DEVELOPMENT, KeyProblem, allowed_keys
from runtime.code.release_log import Release, ReleaseLog, UnknownRelease, release_id
from runtime import kernel
from runtime.kernel import clock, node, sleep

__all__ = ["PushOperations", "PushSettings"]

_LOOK = 0.1
"""Seconds between two looks at whether a probation is over."""
_HEARTBEAT = 10.0
_SHARES = ("lag", "busy")
"""What is watched and always moves a little."""
_SHOWN = 20
_ANEW = "make it anew: tools/push makes one of the tree and sends it, with --write FILE it keeps it"
_NEXT: Mapping[str, str] = {
    "format": _ANEW,
    "hash": _ANEW,
    "signature": _ANEW,
    "size": "name some of the files, so as to push fewer at once",
    "role": "sign with a key that may (--key FILE), or give this one the role in the node's list (code.allowed_keys)",
    "requires": "run tools/push with what the node runs; a node gets another Python or runtime by a restart",
    "base": "look at what differs, and do it again on what runs",
}
"""What to do about a bundle that is refused, where its sentence does not say."""

# Types


@dataclass(frozen=True, slots=True)
class PushSettings:
    """`keys`: where the node's own key lies (data_dir/code/keys); `allowed`: the list of keys believed; None: that key."""

    keys: Path
    allowed: Path | None = None
    limits: Limits = Limits()  # noqa: RUF009  (frozen)

    def prepare(self) -> None:
        """Make the node's own key if it needs one and has none; say what is wrong with its list. Blocks on files.

        Raises KeyProblem.
        """
        allowed_keys(self.allowed, self.keys)


class PushOperations:
    """The operations' handlers. Each runs in a process of its own; the only state is the code server's."""

    def __init__(self, code: LiveCode, settings: PushSettings) -> None:
        self._code = code
        self._settings = settings

    def add_to(self, table: Operations) -> None:
        """Put them into the table."""
        for name, handler, changes, doc in (
            ("status", self.status, False, "the running release, its files, and what a bundle must fit"),
            ("releases", self.releases, False, "the releases that are kept: {limit}"),
            ("show", self.show, False, "one release: {release}"),
            ("diff", self.diff, False, "the difference of two releases: {old, new}"),
            ("texts", self.texts, False, "texts of a release: {release, paths}"),
            ("plan", self.plan, False, "what a bundle would change: {bundle}"),
            ("push", self.push, True, "make a bundle live: {bundle, force}"),
            ("follow", self.follow, False, "wait for the end of a release's probation: {number}"),
            ("rollback", self.rollback, True, "go back: {release, note, force, seen, order}"),
            ("confirm", self.confirm, True, "end the probation, the release is good: {seen, order}"),
        ):
            table.add(name, _answering(handler), changes=changes, doc=doc)

    # looking

    def status(self, request: Request) -> dict[str, Any]:
        """Say what runs, and what a client needs for making a bundle."""
        log, roots = self._code.log, self._code.roots
        current, good, now = self._code.current(), log.last_good(), self._code.status()
        own = self._settings.keys / f"{DEVELOPMENT}.key" if self._settings.allowed is None else None
        return {
            "node": node(),
            **now,
            "running": as_map(current),
            "last_good": None if good is None else as_map(good),
            "files": dict(current.files),
            "base": str(roots.base),
            "folders": list(roots.folders),
            "requires": {"python": python_version(), "runtime": RUNTIME_VERSION},
            "key": str(own) if own is not None and request.who.is_local else "",
            "limit": self._settings.limits.bundle,
        }

    def releases(self, request: Request) -> list[dict[str, Any]]:
        """Return releases, newest last."""
        limit = request.arg("limit", int, 50)
        running = self._code.current().number
        return [
            {**as_map(one), "is_current": one.number == running}
            for one in self._code.log.releases()[-max(1, limit) :]
        ]

    def show(self, request: Request) -> dict[str, Any]:
        """Return one release with its files, what it changed, and who did something with it."""
        release = self._find(request.arg("release", (str, int)))
        log = self._code.log
        before = _before(log, release)
        changed = {} if before is None else _changes(before.files, release.files)
        about = [one for one in log.operations(1_000) if one.what.startswith(f"{release.id} ")]
        is_watched = release.number == self._code.current().number
        return {
            **as_map(release),
            "probation": self._code.status()["probation"] if is_watched else {},
            "files": dict(release.files),
            "changed": changed,
            "operations": [
                {"time": one.time, "who": one.who, "operation": one.operation, "verdict": one.verdict}
                for one in about
            ],
        }

    def diff(self, request: Request) -> dict[str, Any]:
        """Return the difference of two releases as texts by path; without `old`, to the one before."""
        new = self._find(request.arg("new", (str, int)))
        wanted = request.arg("old", (str, int), None)
        old = _before(self._code.log, new) if wanted is None else self._find(wanted)
        if old is None:
            raise Denied("unknown", f"there is no release before {new}: name both, --diff A B")
        return {"old": as_map(old), "new": as_map(new), "files": _aside(self._code.log.diff, old, new)}

    def texts(self, request: Request) -> dict[str, str | None]:
        """Return texts of a release by path; None for a file that it has not."""
        release = self._find(request.arg("release", (str, int)))
        wanted = request.arg("paths", list)
        paths = [path for path in wanted if isinstance(path, str)]
        found = _aside(self._code.log.sources, release, paths)
        return {path: found.get(path) for path in paths}

    # acting

    def plan(self, request: Request) -> dict[str, Any]:
        """Check a bundle as `push` does and say what it would change; nothing does."""
        opened = self._open(request, "stage")
        request.progress("checked", files=len(opened.sources), key=opened.key.name)
        self._tell_waiting(request)
        plan = self._code.plan(opened.sources, base=opened.manifest.base)
        bad = self._code.log.found_bad(opened.manifest.release)
        warning = "" if bad is None else f"this is release {bad} again, which was taken back: {bad.why}"
        return {"release": opened.manifest.release, "warning": warning, **plan}

    def push(self, request: Request) -> dict[str, Any]:
        """Make a bundle live. The events are the stages; the result is the release, perhaps in probation."""
        opened = self._open(request, "activate")
        manifest = opened.manifest
        if not _aside(self._code.log.use_nonce, manifest.nonce):
            raise Denied("replay", "this bundle has been used already: make a new one")
        request.progress("checked", files=len(opened.sources), key=opened.key.name)
        self._tell_waiting(request)
        by = f"{manifest.author or opened.key.name} (key {opened.key.name}), {request.who}"
        release = self._code.push(
            opened.sources, base=manifest.base, by=by, note=manifest.note, progress=request.progress,
            force=request.arg("force", bool, False),
        )  # fmt: skip
        request.what = f"{release.id} (#{release.number}) by the key {opened.key.name}"
        return as_map(release)

    def follow(self, request: Request) -> dict[str, Any]:
        """Wait until a release is no longer in probation, with an event at each change of what is watched, and now and then:
        who follows over a network hears that the node is there.
        """
        number = request.arg("number", int)
        told: Any = None
        at = 0.0
        while True:
            release = self._find(number)
            if release.result != "probation":
                return as_map(release)
            probation = self._code.status()["probation"]
            counts = [row["now"] for name, row in probation.get("watched", {}).items() if name not in _SHARES]
            if counts != told or clock.now() >= at + _HEARTBEAT:
                told, at = counts, clock.now()
                request.progress("probation", **probation)
            sleep(_LOOK)

    def rollback(self, request: Request) -> dict[str, Any]:
        """Go back to a release, or to the one before."""
        wanted = request.arg("release", str, "") or ""
        by = self._authority(request, "rollback", wanted)
        self._check_seen(request)
        target = self._find(wanted) if wanted else None
        request.what = f"{target.id} (#{target.number})" if target is not None else "the one before"
        self._tell_waiting(request)
        release = self._code.rollback(
            target.number if target is not None else None, by=by, progress=request.progress,
            note=request.arg("note", str, "") or "", force=request.arg("force", bool, False),
        )  # fmt: skip
        request.what = _what(release, by, request)
        return as_map(release)

    def confirm(self, request: Request) -> dict[str, Any]:
        """End the probation of the running release: it is good."""
        by = self._authority(request, "confirm", "")
        self._check_seen(request)
        release = self._code.confirm()
        request.what = _what(release, by, request)
        return as_map(release)

    # internals

    def _tell_waiting(self, request: Request) -> None:
        now = self._code.status()
        before = [name for name in (now["busy"], *now["waiting"]) if name]
        if before:
            request.progress("waiting", behind=before)

    def _open(self, request: Request, role: str) -> Opened:
        data = request.arg("bundle", bytes)
        opened: Opened = _aside(self._unpack, data, role)
        manifest = opened.manifest
        request.what = f"{manifest.release} on {manifest.base} by the key {opened.key.name}"
        self._fit(opened)
        return opened

    def _unpack(self, data: bytes, role: str) -> Opened:
        """In a thread: hashing megabytes would hold everybody up."""
        keys = allowed_keys(self._settings.allowed, self._settings.keys)
        return unpack(data, keys, role=role, limits=self._settings.limits)

    def _fit(self, opened: Opened) -> None:
        """Hold a bundle against what runs. Raises BadBundle, Denied."""
        manifest = opened.manifest
        running = self._code.current()
        if running.id != manifest.base:
            raise self._other_base(running, manifest.base)
        for path in opened.sources:
            if not self._code.roots.owns_relative(path):
                folders = ", ".join(self._code.roots.folders)
                raise BadBundle("path", f"{path} is not managed on this node: modules under {folders} are")
        missing = [path for path in manifest.deleted if path not in running.files]
        if missing:
            raise BadBundle(
                "path", f"{missing[0]} is to be deleted, and the running release has no such file"
            )
        files = {**running.files, **manifest.files}
        for path in manifest.deleted:
            del files[path]
        if release_id(files) != manifest.release:
            raise BadBundle("hash", "the bundle does not lead to the release that it names")

    def _other_base(self, running: Release, base: str) -> Denied:
        text = f"the node runs release {running}, and the bundle was made for {base}"
        try:
            made_for = self._code.log.find(base)
        except UnknownRelease:
            more = {"running": as_map(running)}
            return Denied("base", f"{text}, which this node does not know\n{_NEXT['base']}", more)
        differing = _changes(made_for.files, running.files)
        try:
            texts = _aside(self._code.log.diff, made_for, running)
        except BlobDamaged:
            texts = {}
        more = {"running": as_map(running), "changed": differing, "diff": dict(list(texts.items())[:_SHOWN])}
        number = f"{len(differing)} file{'s' * (len(differing) != 1)}"
        return Denied("base", f"{text}; they differ in {number}\n{_NEXT['base']}", more)

    def _check_seen(self, request: Request) -> None:
        """Whoever decides by what is on a screen means the release that it showed. Raises Denied."""
        seen, running = request.arg("seen", str, ""), self._code.current()
        if seen and seen != running.id:
            text = f"by now release {running.id} runs, not {seen}: nothing was done; look again"
            raise Denied("base", text, {"running": as_map(running)})

    def _authority(self, request: Request, wish: str, release: str) -> str:
        """Return by whose word it is done. Raises Denied."""
        data = request.arg("order", bytes, None)
        if data is None:
            if request.who.is_local:
                return str(request.who)
            raise Denied("signature", f"from another machine, {wish} needs an order signed by a key")
        log = self._code.log
        order, key = unpack_order(data, _aside(self._keys), limits=self._settings.limits)
        if (order.order, order.release) != (wish, self._find(release).id if release else ""):
            raise BadBundle("signature", "what was signed is another wish than what was asked")
        running = self._code.current()
        if running.id != order.base:
            raise self._other_base(running, order.base)
        if not _aside(log.use_nonce, order.nonce):
            raise Denied("replay", "this order has been used already: make a new one")
        return f"key {key.name}, {request.who}"

    def _keys(self) -> Mapping[str, Any]:
        return allowed_keys(self._settings.allowed, self._settings.keys)

    def _find(self, ref: str | int) -> Release:
        return self._code.log.find(ref)


# API


def as_map(release: Release) -> dict[str, Any]:
    """Return a release in plain values, with the number of its files instead of all of them."""
    return {
        "id": release.id, "number": release.number, "base": release.base, "time": release.time, "by": release.by,
        "note": release.note, "kind": release.kind, "result": release.result, "why": release.why,
        "seconds": dict(release.seconds), "migrated": release.migrated, "notes": list(release.notes),
        "files": len(release.files),
    }  # fmt: skip


# Internals


def _answering(handler: Handler) -> Handler:
    """What the rooms below raise becomes the answer that it is."""

    def answering(request: Request) -> Any:
        try:
            return handler(request)
        except Refused as refused:
            more = {"module": refused.module, "line": refused.line, "reason": refused.reason}
            raise Denied(refused.kind, str(refused), more) from None
        except BadBundle as bad:
            hint = _NEXT.get(bad.kind)
            raise Denied(bad.kind, f"{bad}\n{hint}" if hint else str(bad)) from None
        except KeyProblem as problem:
            raise Denied("key", f"the node's own list of keys is wrong: {problem}") from None
        except UnknownRelease as error:
            raise Denied("unknown", str(error)) from None
        except BlobDamaged as error:
            raise Denied("damaged", str(error)) from None
        except OSError as error:
            raise Denied("disk", f"the release log cannot be written: {error}") from None

    return answering


def _aside(fn: Callable[..., Any], *args: Any) -> Any:
    """Run `fn` in a thread. What it may well raise comes back as a value and is raised here: the pool prints what is raised
    in its threads.
    """
    outcome = kernel.blocking(_outcome, fn, *args)
    if isinstance(outcome, _EXPECTED):
        raise outcome
    return outcome


def _outcome(fn: Callable[..., Any], *args: Any) -> Any:
    try:
        return fn(*args)
    except _EXPECTED as error:
        return error.with_traceback(None)


_EXPECTED = (BadBundle, KeyProblem, BlobDamaged, UnknownRelease, OSError)


def _before(log: ReleaseLog, release: Release) -> Release | None:
    """The release that this one was made on; else the one before it in the log."""
    earlier = [one for one in log.releases() if one.number < release.number]
    based = [one for one in earlier if one.id == release.base]
    return (based or earlier or [None])[-1]  # type: ignore[list-item]


def _changes(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for path in sorted({*old, *new}):
        if old.get(path) != new.get(path):
            found[path] = "added" if path not in old else "deleted" if path not in new else "changed"
    return found


def _what(release: Release, by: str, request: Request) -> str:
    """For the audit, which names who asked by itself: the release, and the key if one was needed."""
    key = by.removesuffix(str(request.who)).removesuffix(", ")
    return f"{release.id} (#{release.number})" + (f" by the {key}" if key else "")
