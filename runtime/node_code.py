"""Live code in a node: from before its applications are imported until after they are gone.

    mode watch   the code is what lies in the folders of `code.roots`; a saved file is live (development)
    mode push    the code is the last good release of data_dir/code, whatever lies in the tree; tools/push changes it
    mode off     as any program: a change takes a restart

Theory of operation: the import hook must be there before the first managed module is imported, and the applications'
classes are imported while the configuration is read, for their settings. So a few keys are read first, forgivingly
(`prepare`); what is wrong with them is said by the full reading. In push mode the data directory is taken then, too, since
its release log says what to import.

Keys: code.*; SIGHUP takes over code.quiesce, code.check, code.check_limit and the limits of probation.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtime import code as live_code
from runtime import kernel
from runtime.admin.live_code import LiveCode
from runtime.code import api, watch
from runtime.code.check import Checker
from runtime.code.engine import Engine
from runtime.code.probation import Limits
from runtime.code.release_log import Release, ReleaseLog
from runtime.code.releaser import Releaser
from runtime.code.roots import Roots
from runtime.code.server import NAME, CodeServer
from runtime.config import Config
from runtime.kernel import Process
from runtime.node_config import early
from runtime.node_identity import DataDirectory
from runtime.node_releases import ReleaseLogError, choose
from runtime.otp.child_spec import ChildSpec, SupFlags
from runtime.otp.supervisor import Supervisor

__all__ = ["NodeCode", "ReleaseLogError"]

_log = logging.getLogger("evergreen.code")
_SHOWN = 5
"""Files that are named in a sentence."""

# Types


class NodeCode:
    """Live code of one node. `directory` is the data directory, when it was already taken for its release log."""

    def __init__(self, mode: str, roots: Roots) -> None:
        self.mode = mode
        self.engine = Engine(roots)
        self.directory: DataDirectory | None = None
        self.log: ReleaseLog | None = None
        self.booted: Release | None = None
        """The release whose sources this node starts from; None: it starts from the tree."""
        self.chosen: Release | None = None
        """The same, when the operator has named it."""
        self.releaser: Releaser | None = None

    @classmethod
    def prepare(
        cls, path: str | Path | None, overrides: list[str], release: str = "", *, force: bool = False
    ) -> NodeCode | None:
        """Read the first few settings and install the import hook; None when live code is off.

        `release`: the one to start from in push mode, in place of the last good one; `force`: also if it was taken back.

        Raises DirectoryError, ReleaseLogError.
        """
        mode = early(path, overrides, "code.mode")
        if release and mode != "push":
            raise ReleaseLogError(
                f"--release names what a node in push mode starts from, and code.mode is {mode}: "
                "add --set code.mode=push"
            )
        if mode == "off":
            return None
        code = cls(mode, Roots(Path.cwd(), early(path, overrides, "code.roots")))
        sources: Mapping[str, str] | None = None
        data_dir = Path(early(path, overrides, "node.data_dir")).resolve()
        if mode == "push" and (data_dir / "code").is_dir():
            code.directory = DataDirectory.hold(data_dir)
            code._open(data_dir, early(path, overrides, "code.keep"))
            assert code.log is not None
            sources = code.log.boot_sources()
            code.booted = code.log.last_good() if sources is not None else None
            ran = any(one.result != "refused" for one in code.log.releases())
            if release:
                code.booted, sources = choose(code.log, release, force=force)
                code.chosen = code.booted
            if sources is None and (ran or code.log.is_damaged):
                raise ReleaseLogError(_nothing_to_boot(code.log))
        elif release:
            raise ReleaseLogError(f"there is no release in {data_dir / 'code'} yet")
        code.engine.install(sources)
        return code

    def hint(self) -> str:
        """Say which code failed, when the applications cannot be imported; empty when it is that of the tree."""
        if self.booted is None:
            return ""
        return (
            f"the code is that of release {self.booted}, not of the tree; "
            "--set code.mode=watch starts from the tree, and tools/push makes that the next release"
        )

    def unjudged(self) -> str:
        """Say what the end of the node means to a release on probation, in push mode; empty when there is none."""
        if self.mode != "push" or self.log is None:
            return ""
        release, good = self.log.current(), self.log.last_good()
        if release is None or release.result != "probation" or good is None:
            return ""
        return (
            f"release {release} is still on probation: the next start goes back to {good}, unless "
            f"tools/run --release '#{release.number}' --force insists on it"
        )

    def edited(self) -> str:
        """Say which files run otherwise than in the last good release, and how to start that one; empty if none, or in push mode."""
        good = self.log.last_good() if self.mode == "watch" and self.log is not None else None
        if good is None:
            return ""
        paths = sorted(path for path, sha in self.engine.running().items() if good.files.get(path) != sha)
        if not paths:
            return ""
        named = ", ".join(paths[:_SHOWN]) + (
            f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
        )
        return (
            f"saved since the last good release, {good}: {named}; correct that, or start what ran well: "
            f"tools/run --set code.mode=push --release '#{good.number}'"
        )

    def open(self, data_dir: Path, config: Config) -> None:
        """Open the release log, unless `prepare` has. Blocks on files. Raises ReleaseLogError."""
        self._open(data_dir, config.integer("code.keep"))
        assert self.log is not None
        checker = Checker(self.engine.roots, limit=config.number("code.check_limit"))
        self.releaser = Releaser(
            self.engine,
            self.log,
            from_log=self.mode == "push",
            chosen=self.chosen,
            entries=_entries(config),
            checker=checker,
        )
        self.take(config)

    def spec(self, config: Config) -> ChildSpec:
        """Return the child of the node's services: the code server and what feeds it.

        It may fail now and then; if it does again and again, the node goes on as it is, with the code that it has.
        """
        return ChildSpec(
            "code", (self._start, (config,)), restart="temporary", type="supervisor", shutdown=5.0
        )

    def control(self) -> LiveCode:
        """Return what the control socket needs of it."""
        assert self.log is not None
        return LiveCode(self.log, self.engine.roots)

    def handle(self) -> Any:
        """Return what `node.current().code` is: the module runtime.code, whose functions work in this node."""
        return live_code

    def take(self, config: Config) -> None:
        """Take over changed settings; those marked (start) wait for the next one."""
        self.engine.quiesce = config.number("code.quiesce")
        if self.releaser is not None and self.releaser.checker is not None:
            self.releaser.checks = config.flag("code.check")
            self.releaser.checker.limit = config.number("code.check_limit")
        if kernel.whereis(NAME) is not None:
            api.configure(_limits(config))

    def text(self) -> str:
        """Say in one line how code comes to this node: for the start message."""
        roots = self.engine.roots
        folders = ", ".join(f"{folder}/" for folder in roots.folders)
        if self.mode == "watch":
            missing = [folder for folder in roots.folders if not roots.path_of(folder).is_dir()]
            if len(missing) == len(roots.folders):
                return f"watching for {folders}, which {'is' if len(missing) == 1 else 'are'} not here"
            return f"watching {folders}: save a file and it is live"
        what = f"release {self.booted}" if self.booted is not None else f"a first release, of {folders}"
        return f"{what}; tools/push makes the next"

    def close(self) -> None:
        """Take the import hook away and close the log."""
        self.engine.uninstall()
        if self.log is not None:
            self.log.close()

    # internals

    def _open(self, data_dir: Path, keep: int) -> None:
        if self.log is None:
            try:
                self.log = ReleaseLog.open(data_dir / "code", keep)
            except OSError as error:
                raise ReleaseLogError(
                    f"the release log in {data_dir / 'code'} cannot be used: {error.strerror or error}"
                ) from None

    def _replaced(self) -> Mapping[str, str | None]:
        return self.releaser.replaced if self.releaser is not None else {}

    def _start(self, config: Config) -> Process | None:
        assert self.releaser is not None
        assert self.log is not None
        for problem in self.log.problems:
            _log.warning("%s", problem)
        self.log.problems.clear()
        specs = [
            ChildSpec(
                "server", (CodeServer.start_link, (self.releaser, _limits(config), self.mode), {"name": NAME})
            )
        ]
        if self.mode == "watch":
            wanted = config.into(watch.WatchConfig, "code")
            roots, entries = self.engine.roots, _entries(config)
            arguments = roots, wanted, self.engine.running, _push, _complain, self._replaced, entries
            specs.append(ChildSpec("watch", (watch.Watcher.start_link, arguments, {"name": watch.NAME})))
        return Supervisor.start_link_with(
            SupFlags(strategy="rest_for_one", intensity=5, period=60.0), specs, name="code"
        )


# Internals


def _entries(config: Config) -> list[str]:
    """Return the modules of the applications that the node starts."""
    return [str(name).partition(":")[0] for name in config.items_of("node.applications")]


def _limits(config: Config) -> Limits:
    return config.into(Limits, "code")


def _push(batch: Mapping[str, str | None]) -> None:
    api.push(batch, kind="watch", by="watch")


def _nothing_to_boot(log: ReleaseLog) -> str:
    """There were releases, and none can be read: what lies in the tree may be anything, and is not started unasked."""
    why = "\n".join(f"    {problem}" for problem in log.problems)
    log.close()
    return (
        f"no release in {log.directory} can be started:\n{why}\n"
        "    bring the directory back from a backup; or, if the tree has what shall run, move it away: the tree is then the "
        "first release"
    )


def _complain(text: str) -> None:
    _log.error("not live: %s", text)
