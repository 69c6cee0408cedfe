"""`tools/push`: bring the working tree to a running node, look at its releases, go back.

    tools/push apps/chat                 show what differs, make it live, follow it to the end of its probation
    tools/push --dry-run                 what would change: files, functions, classes, processes that migrate
    tools/push --list | --show R | --diff A [B] | --rollback [R] | --confirm
    tools/push --new-key alice           make a key pair; the node's list wants the line in alice.pub

Theory of operation: the node says what runs (hashes by path); the tree says what is wanted; the bundle holds the difference
and names both ends of it. Which node: --socket PATH, --node HOST:PORT (mutual TLS), else the data directory of etc/node.toml.
Which key: --key FILE, EVERGREEN_KEY, else the node's development key, if it may be read here.
Exit codes: 0 done (with probation: found good; nothing was different); 1 refused, rolled back, or no node; 2 usage; 130 left
with Ctrl-C: what the node has begun goes on there.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtime.admin.client import Client, NotConnected, OperationFailed
from runtime.admin.connect import PATHS, Unfit, add_options, connect, mean_paths, start
from runtime.admin.push_report import Report
from runtime.code.blobs import digest
from runtime.code.bundle import RUNTIME_VERSION, Manifest, Order, new_nonce, pack, pack_order, python_version
from runtime.code.keys import ROLES, KeyProblem, PrivateKey, load_private, make_pair
from runtime.code.release_log import release_id
from runtime.code.roots import Roots
from runtime.code.tree import TreeError, read_tree, vsns_of

__all__ = ["Difference", "main"]

_PATHS = (*PATHS, "tree", "key", "keys", "bundle", "write")
_ANSWER = 60.0
"""Seconds without a word after which the node is given up; a push tells its stages, and a check aside may take a while."""

# Types


class Difference:
    """What a tree has otherwise than a running release. `new`: path -> text, None for a deleted file."""

    def __init__(self, running: Mapping[str, str], tree: Mapping[str, str], below: list[str] | None) -> None:
        self.new: dict[str, str | None] = {}
        for path in sorted({*running, *tree}):
            if below is not None and not any(
                path == top or path.startswith(top + "/") or top == "." for top in below
            ):
                continue
            text = tree.get(path)
            if text is None or digest(text.encode()) != running.get(path):
                self.new[path] = text
        self.files = {path: digest(text.encode()) for path, text in self.new.items() if text is not None}
        self.deleted = tuple(path for path, text in self.new.items() if text is None)
        after = {path: name for path, name in {**running, **self.files}.items() if path not in self.deleted}
        self.release = release_id(after)

    def bundle(self, base: str, author: str, note: str, key: PrivateKey) -> bytes:
        """Return the signed bundle."""
        texts = {path: text for path, text in self.new.items() if text is not None}
        manifest = Manifest(
            base=base, release=self.release, files=self.files, deleted=self.deleted, vsns=vsns_of(texts),
            requires={"python": python_version(), "runtime": RUNTIME_VERSION}, author=author, time=time.time(),
            nonce=new_nonce(), note=note,
        )  # fmt: skip
        return pack(manifest, texts, key)


# API


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    options = _options(arguments)
    report = Report(options.json)
    try:
        if options.new_key:
            return _new_key(options, report)
        with connect(options) as client:
            return _run(client, options, report)
    except OperationFailed as failed:
        report.fail(failed.kind, str(failed), failed.more)
    except (NotConnected, KeyProblem, TreeError, Unfit) as problem:
        if report.as_json:
            report.data("error", {"kind": type(problem).__name__, "text": str(problem)})
        else:
            report.complain(f"evergreen: {problem}")
    except BrokenPipeError:  # nobody reads: `tools/push --list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        report.complain("evergreen: left; what the node has begun goes on there (--list tells)")
        return 130
    return 1


# Internals: what is asked


def _run(client: Client, options: argparse.Namespace, report: Report) -> int:
    if "status" not in client.hello["operations"]:
        raise Unfit("this node runs without live code (code.mode is off): a change takes a restart")
    if options.list:
        report.releases(client.ask("releases", {"limit": 50}, timeout=_ANSWER))
    elif options.show is not None:
        report.show(client.ask("show", {"release": options.show}, timeout=_ANSWER))
    elif options.diff is not None:
        old, new = options.diff if len(options.diff) == 2 else (None, options.diff[0])
        found = client.ask("diff", {"old": old, "new": new}, timeout=_ANSWER)
        report.data("diff", found)
        for text in found["files"].values():
            report.patch(text)
        if not found["files"]:
            report.line("same", f"{found['old']['id']} and {found['new']['id']} have the same files")
    elif options.rollback is not None:
        return _rollback(client, options, report)
    elif options.confirm:
        order = _order(client, "confirm", "", options)
        watched = client.ask("status", timeout=_ANSWER)["probation"]
        release = client.ask("confirm", {"order": order}, timeout=_ANSWER)
        if watched:
            report.release(release)
        else:
            report.nothing_on_probation(release)
    elif options.bundle:
        return _send(client, _read(Path(options.bundle)), options, report)
    else:
        return _push(client, options, report)
    return 0


def _push(client: Client, options: argparse.Namespace, report: Report) -> int:
    status = client.ask("status", timeout=_ANSWER)
    running = status["running"]
    if running is None:
        raise Unfit("the node keeps no releases yet: it must run in push mode (code.mode)")
    if options.base:
        _check_base(client, options.base, running)
    roots = Roots(Path(options.tree or "."), status["folders"])
    tree = read_tree(roots)
    if not tree:
        folders = ", ".join(f"{folder}/" for folder in roots.folders)
        raise Unfit(
            f"{roots.base} has no Python file in {folders}: is it the right tree? Name it with --tree DIR"
        )
    difference = Difference(status["files"], tree, _below(options.paths, roots, {*status["files"], *tree}))
    report.data("running", running)
    if not difference.new:
        report.data("difference", [])
        report.line(
            "nothing",
            f"the node runs release {running['id']} (#{running['number']}), and the tree has the same",
        )
        return 0
    paths = list(difference.new)
    old = client.ask("texts", {"release": f"#{running['number']}", "paths": paths}, timeout=_ANSWER)
    report.difference(old, difference.new, options.patch)
    key = _key(options, status["key"])
    data = difference.bundle(running["id"], options.author, options.note, key)
    if options.write:
        _write(Path(options.write), data)
        report.data(
            "written",
            {"file": options.write, "bytes": len(data), "base": running["id"], "release": difference.release},
        )
        report.line(
            "written", f"{options.write}: {len(data)} bytes, from {running['id']} to {difference.release}"
        )
        return 0
    return _send(client, data, options, report)


def _check_base(client: Client, base: str, running: Mapping[str, Any]) -> None:
    wanted = client.ask("show", {"release": base}, timeout=_ANSWER)
    if wanted["id"] != running["id"]:
        found = client.ask("diff", {"old": base, "new": f"#{running['number']}"}, timeout=_ANSWER)
        text = (
            f"the node runs release {running['id']} (#{running['number']}), and not {wanted['id']}\n"
            "look at what differs, and push again, without --base or with this one"
        )
        raise OperationFailed("base", text, {"diff": found["files"]})


def _send(client: Client, data: bytes, options: argparse.Namespace, report: Report) -> int:
    if options.dry_run:
        report.plan(client.ask("plan", {"bundle": data}, on_event=report.event, timeout=_ANSWER))
        report.line("dry run", "nothing was changed")
        return 0
    arguments = {"bundle": data, "force": options.force}
    release = client.ask("push", arguments, on_event=report.event, timeout=_ANSWER)
    return _follow(client, release, options, report)


def _follow(client: Client, release: Mapping[str, Any], options: argparse.Namespace, report: Report) -> int:
    """Tell of a release until it is judged."""
    report.live(release)
    if release["result"] != "probation" or options.no_wait:
        return 0
    try:
        release = client.ask("follow", {"number": release["number"]}, on_event=report.event, timeout=_ANSWER)
    except NotConnected as error:
        raise NotConnected(
            f"{error}\nrelease {release['id']} (#{release['number']}) was on probation: if the node has ended, start it "
            "again (tools/run); tools/push --list says what became of the release"
        ) from None
    report.release(release)
    return 0 if release["result"] == "good" else 1


def _rollback(client: Client, options: argparse.Namespace, report: Report) -> int:
    order = _order(client, "rollback", options.rollback, options)
    arguments = {
        "release": options.rollback, "order": order, "note": options.note, "force": options.force,
    }  # fmt: skip
    release = client.ask("rollback", arguments, on_event=report.event, timeout=_ANSWER)
    return _follow(client, release, options, report)


def _order(client: Client, wish: str, release: str, options: argparse.Namespace) -> bytes | None:
    """A signed order for a node on another machine; on this one the user is enough."""
    if not options.node and not options.key:
        return None
    running = client.ask("status", timeout=_ANSWER)["running"]
    target = client.ask("show", {"release": release}, timeout=_ANSWER)["id"] if release else ""
    base = "" if running is None else running["id"]
    return pack_order(Order(wish, target, base, time.time(), new_nonce()), _key(options, ""))


def _new_key(options: argparse.Namespace, report: Report) -> int:
    directory = Path(options.keys)
    made = make_pair(directory, options.new_key, options.roles.split(",") if options.roles else ROLES)
    report.data(
        "key", {"id": made.public.id, "line": made.public.line(), "file": str(directory / f"{made.name}.key")}
    )
    report.line("made", f"{directory / made.name}.key, for you alone, and {directory / made.name}.pub")
    report.line("next", f"put this line into the node's list (code.allowed_keys):\n{made.public.line()}")
    report.line("then", f"tools/push --key {directory / made.name}.key ...")
    return 0


# Internals: where from


def _key(options: argparse.Namespace, own: str) -> PrivateKey:
    path = options.key or os.environ.get("EVERGREEN_KEY") or own
    if not path:
        raise Unfit("which key? Name it with --key FILE (or EVERGREEN_KEY); make one with --new-key NAME")
    return load_private(Path(path))


def _below(paths: list[str], roots: Roots, known: set[str]) -> list[str] | None:
    if not paths:
        return None
    found = []
    for path in paths:
        try:
            found.append(roots.relative(start() / path))
        except ValueError:
            raise Unfit(f"{path} is not in the tree {roots.base}") from None
        top = found[-1]
        if top != "." and not any(one == top or one.startswith(f"{top}/") for one in known):
            raise Unfit(f"{path} names no live code, neither in the tree nor on the node: is it misspelt?")
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unfit(f"{path} cannot be read ({error.strerror})") from None


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise Unfit(f"{path} cannot be written ({error.strerror}): nothing was sent either") from None


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tools/push",
        description="Make the working tree live on a running node; look at its releases; go back.",
        epilog="R is a release's number (3, or #3), its id, or at least four characters that it begins with. Exit codes: 0 done (a probation was passed); 1 refused, "
        "rolled back, or no node; 2 wrong usage; 130 left with Ctrl-C.",
    )
    add = parser.add_argument
    add("paths", nargs="*", metavar="PATH", help="push only what differs in these files and folders")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="list the node's releases")
    what.add_argument("--show", metavar="R", help="show a release: its number or its id")
    what.add_argument(
        "--diff", metavar="R", nargs="+", help="show how two releases differ; with one: from its base"
    )
    what.add_argument(
        "--rollback", metavar="R", nargs="?", const="", help="go back to a release, or to the one before"
    )
    what.add_argument("--confirm", action="store_true", help="end the probation now: the release is good")
    what.add_argument("--new-key", metavar="NAME", help="make a key pair")
    what.add_argument("--bundle", metavar="FILE", help="send a bundle that was written with --write")
    add("--dry-run", action="store_true", help="show what would change; change nothing")
    add("--patch", "-p", action="store_true", help="show the lines that differ, too")
    add("--note", default="", metavar="TEXT", help="a word about this release, for the log")
    add("--author", default=_user(), metavar="NAME", help="who makes it (default: this user)")
    add("--base", default="", metavar="R", help="only if the node runs this release")
    add("--write", metavar="FILE", help="write the bundle to a file instead of sending it")
    add("--force", action="store_true", help="push, or go back to, also what was taken back before")
    add("--no-wait", action="store_true", help="do not wait for the end of the probation")
    add("--json", action="store_true", help="one line of JSON for each event and result")
    add_options(parser)
    add("--tree", metavar="DIR", help="the working tree (default: this one)")
    add(
        "--key",
        metavar="FILE",
        help="the key that signs (default: EVERGREEN_KEY, or the node's development key)",
    )
    add("--keys", metavar="DIR", default="~/.evergreen/keys", help="where --new-key puts the pair")
    add(
        "--roles",
        metavar="ROLES",
        default="",
        help="of the new key: some of stage,activate,rollback (default: all)",
    )
    options = parser.parse_args(arguments)
    if options.diff is not None and len(options.diff) > 2:
        parser.error("--diff takes one release or two")
    mean_paths(options, _PATHS)
    looks = options.list or options.show or options.diff or options.new_key
    acts = options.rollback is not None or options.confirm
    if options.paths and (looks or acts or options.bundle):
        parser.error(f"what is {options.paths[0]}? Files and folders are named only for a push")
    if options.dry_run and acts:
        parser.error("--dry-run shows what a push would do; for a way back, see --diff")
    return options


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"uid {os.getuid()}"


if __name__ == "__main__":
    sys.exit(main())
