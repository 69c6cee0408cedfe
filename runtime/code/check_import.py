"""One check, in a process forked for it: import the staged modules from scratch, then run the self-checks.

Theory of operation: nothing here is undone, because the process ends with it. Managed modules come out of the staged
sources through a finder that stands first in `sys.meta_path`; what else they need comes from where the node has it. The
imports run inside a callback of the event loop, as they would in the node, so that whatever waits cooperatively is
refused by the loop itself; the few ways to really block (`time.sleep`, a socket's connect, a child process) and threads
are caught where a managed module's top level uses them. Self-checks run in a process of the kernel, so that they may
start processes and call them.

The first fault ends the check at once, by `os._exit` after the report: an `except` in the module cannot hide it, and
neither exit handlers nor finalizers of half-made modules get a say.
"""

from __future__ import annotations

import gc
import importlib
import linecache
import marshal
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any, Final, NoReturn

from runtime import kernel
from runtime.code.check_guard import Guard
from runtime.code.check_wire import At, Check, Failed, Outcome, Passed, Settings, Syntax, encode_frame
from runtime.code.roots import Roots

__all__ = ["Cold", "Codes", "run"]

Codes = dict[str, tuple[str, CodeType]]
"""What earlier checks compiled: relative path to text and code."""

Frames = list[tuple[FrameType, int]]
"""A stack: frames with the line each is at, outermost first."""

_FRAMES: Final = 12  # of a traceback, the innermost
_BEYOND: Final = 4  # frames of packages, from where managed code called them
_LINE: Final = 2000  # characters of an error's text


class Cold(MetaPathFinder, Loader):
    """Finds and executes managed modules out of `sources`; a module that is there as None is deleted.

    What lies in a managed folder but not in `sources` is left to the ordinary finders when `disk` says so, else not found.
    """

    def __init__(
        self,
        roots: Roots,
        sources: Mapping[str, str | None],
        codes: Codes,
        begin: Callable[[str], None],
        *,
        disk: bool = True,
    ) -> None:
        self.roots = roots
        self.files: dict[str, str] = {}  # module name: relative path
        self.deleted: set[str] = set()
        self.folders: set[str] = set()  # names of packages, also of those without an __init__
        self.sources = sources
        self.codes = codes
        self.disk = disk
        self.compiled: dict[str, CodeType] = {}
        self.seconds: dict[str, float] = {}
        self.stack: list[str] = []  # modules whose top level runs now, innermost last
        self.begin = (
            begin  # told of each module before its top level runs, and before it goes on after an import
        )
        self._children = [0.0]
        for relative, text in sources.items():
            name = self.roots.module_of(relative)
            if text is None:
                self.deleted.add(name)
                continue
            self.files[name] = relative
            while name := name.rpartition(".")[0]:
                self.folders.add(name)

    def filename(self, relative: str) -> str:
        return f"{self.roots.base}/{relative}"

    def relative(self, filename: str) -> str | None:
        """The staged source that code with this file name comes from, or None."""
        relative = filename.removeprefix(f"{self.roots.base}/")
        return relative if self.sources.get(relative) is not None else None

    # --- the import system's ------------------------------------------------------------------------------------

    def find_spec(
        self, fullname: str, path: Any = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        relative = self.files.get(fullname)
        if relative is not None:
            spec = ModuleSpec(fullname, self, origin=self.filename(relative))
            spec.has_location = True
            if relative.endswith("__init__.py"):
                spec.submodule_search_locations = [self.filename(relative).removesuffix("/__init__.py")]
            return spec
        if fullname in self.deleted and fullname not in self.folders:
            raise ModuleNotFoundError(f"No module named {fullname!r}: this release deletes it", name=fullname)
        if fullname in self.folders:
            folder = Path(self.roots.base, *fullname.split("."))
            if fullname in self.deleted or not (folder / "__init__.py").exists():
                spec = ModuleSpec(fullname, None, is_package=True)
                spec.submodule_search_locations = [str(folder)]
                return spec
        if not self.disk:
            spec = PathFinder.find_spec(fullname, path)  # type: ignore[assignment]
            if spec is not None and spec.origin and self.roots.owns(spec.origin):
                raise ModuleNotFoundError(f"No module named {fullname!r} in this release", name=fullname)
        return None

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        self.begin(name)
        self.stack.append(name)
        self._children.append(0.0)
        started = time.perf_counter()
        try:
            exec(self.code(self.files[name]), module.__dict__)  # noqa: S102 - it is what importing is
        finally:
            took = time.perf_counter() - started
            self.seconds[name] = took - self._children.pop()
            self._children[-1] += took
            self.stack.pop()
            if self.stack:  # what ends the process from now on is the importing module's doing
                self.begin(self.stack[-1])

    def get_source(self, fullname: str) -> str | None:
        return self.sources.get(self.files.get(fullname, ""))

    def is_package(self, fullname: str) -> bool:
        return self.files.get(fullname, "").endswith("__init__.py")

    # --- internals ----------------------------------------------------------------------------------------------

    def code(self, relative: str) -> CodeType:
        text = self.sources[relative]
        assert text is not None
        known = self.codes.get(relative)
        if known is not None and known[0] == text:
            return known[1]
        code = compile(text, self.filename(relative), "exec", dont_inherit=True)
        self.compiled[relative] = code
        return code


def run(settings: Settings, check: Check, codes: Codes, report: int) -> NoReturn:
    """Do one check and write its outcome to the descriptor `report`. Never returns; the caller is a fresh fork."""
    _Run(settings, check, codes, report).start()


class _Run:
    def __init__(self, settings: Settings, check: Check, codes: Codes, report: int) -> None:
        self.settings = settings
        self.check = check
        self.report = report
        self.roots = Roots(settings.base, settings.folders)
        self.cold = Cold(self.roots, check.sources, codes, self._begin, disk=check.disk)
        self.guard = Guard(self.cold.stack, lambda name: self.cold.relative(name) is not None, self._offence)
        self.before = set(sys.modules)
        self.selfchecks: dict[str, float] = {}
        self.at = ""  # the module that was begun last
        self.testing = False  # its self-check, not its top level

    def start(self) -> NoReturn:
        gc.disable()
        _limit_memory(self.settings.memory)
        signal.signal(signal.SIGALRM, self._time_is_up)
        signal.setitimer(signal.ITIMER_REAL, self.check.limit)
        importlib.invalidate_caches()
        sys.meta_path.insert(0, self.cold)
        kernel.loop().reinit()  # the descriptor behind it is the parent's
        self.guard.put()
        try:
            kernel.run(self._process)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it must be told
            self._fail(error)
        os._exit(1)  # not reached: both ways above end it

    # --- steps --------------------------------------------------------------------------------------------------

    def _process(self) -> None:
        kernel.in_hub(self._imports, kernel.self_())
        kernel.receive()
        self._selfchecks()
        codes = {relative: marshal.dumps(code) for relative, code in self.cold.compiled.items()}
        self._end(Passed(imports=self.cold.seconds, selfchecks=self.selfchecks), self._learned(), codes)

    def _imports(self, then: kernel.Process) -> None:
        try:
            for name in self.check.modules:
                self.at = name
                importlib.import_module(name)
        except BaseException as error:  # noqa: BLE001 - also SystemExit
            self._fail(error)
        kernel.send(then, None)

    def _selfchecks(self) -> None:
        self.testing = True
        for name in self.check.changed:
            test = vars(sys.modules[name]).get("__selfcheck__") if name in sys.modules else None
            if test is None:
                continue
            self.at = name
            self._say(At(name, selfcheck=True))
            started = time.perf_counter()
            try:
                test()
            except BaseException as error:  # noqa: BLE001 - also SystemExit
                self._fail(error)
            self.selfchecks[name] = time.perf_counter() - started

    def _learned(self) -> list[str]:
        """Packages that are no managed code and that the parent could have imported already."""
        if self.guard.threads:
            return []  # the parent must stay without threads: it forks
        names = []
        for name, module in sys.modules.copy().items():
            file = getattr(module, "__file__", None)
            if name not in self.before and file and not self.roots.owns(file):
                names.append(name)
        return names

    # --- telling ------------------------------------------------------------------------------------------------

    def _begin(self, name: str) -> None:
        self.at = name
        self._say(At(name))

    def _say(self, value: At | Outcome) -> None:
        data = memoryview(encode_frame(value))
        while data:
            data = data[os.write(self.report, data) :]

    def _end(self, answer: Passed | Failed, learn: list[str], codes: dict[str, bytes]) -> NoReturn:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:  # noqa: BLE001, S110 - the module may have closed it
                pass
        self._say(Outcome(answer, learn, codes))
        os._exit(0)

    def _fail(self, error: BaseException) -> NoReturn:
        _limit_memory(None)
        try:
            failed = self._describe(error)
        except BaseException as worse:  # noqa: BLE001 - an exception whose str() raises, say
            failed = self._failed(
                f"{type(error).__name__}, which cannot be shown ({type(worse).__name__})", []
            )
        self._end(failed, [], {})

    def _describe(self, error: BaseException) -> Failed:
        text = "".join(traceback.format_exception_only(error)).strip()[:_LINE]
        if isinstance(error, SyntaxError) and (path := self.cold.relative(error.filename or "")) is not None:
            failed = Failed("syntax", self.roots.module_of(path), path, error.lineno or 0, error.msg)
            failed.syntax = Syntax(
                type(error).__name__, error.offset, error.text, error.end_lineno, error.end_offset
            )
            return failed
        frames = list(traceback.walk_tb(error.__traceback__))
        if not self.testing and isinstance(error, kernel.BLOCKED):
            text = "waits while it is being imported, and the whole node would wait with it"
            return self._failed(text, frames, "blocking")
        if isinstance(error, SystemExit):
            text = f"ends the program ({text})"
        return self._failed(text, frames)

    def _offence(self, what: str, frame: FrameType) -> NoReturn:
        text = f"{what} while it is being imported, and the whole node would wait for it"
        self._end(self._failed(text, _stack(frame), "blocking"), [], {})

    def _time_is_up(self, number: int, frame: FrameType | None) -> NoReturn:
        what = "the self-check" if self.testing else "the import"
        text = f"{what} did not end within {self.check.limit:g} s"
        # The interrupted one may be the loop, while a process waits.
        stacks = [_stack(frame), *(_stack(waiting) for _, waiting in kernel.stacks())]
        culprit = next((stack for stack in stacks if self._managed(stack)), stacks[0])
        self._end(self._failed(text, culprit, "selfcheck" if self.testing else "blocking"), [], {})

    def _failed(self, text: str, frames: Frames, kind: str = "") -> Failed:
        """`frames`: outermost first. What is no managed module's doing is left out at their beginning."""
        managed = self._managed(frames)
        path, line, shown = "", 0, ""
        if managed:
            innermost, line = frames[managed[-1]]
            path = self.cold.relative(innermost.f_code.co_filename) or ""
            # The way into the module by imports says nothing, but where imports go round in a circle.
            tops = [i for i in managed if frames[i][0].f_code.co_name == "<module>"] or managed
            first = tops[0] if "circular import" in text else tops[-1]
            beyond = 0 if kind == "blocking" else _BEYOND
            self._stage_lines()
            summary = traceback.StackSummary.extract(frames[first : managed[-1] + 1 + beyond])
            kept = [frame for frame in summary if not _is_machinery(frame.filename)]
            shown = "".join(traceback.StackSummary.from_list(kept[-_FRAMES:]).format())
        module = self.roots.module_of(path) if path else self.at
        return Failed(
            kind or ("selfcheck" if self.testing else "import"),
            module,
            path or self.cold.files.get(module, ""),
            line,
            text,
            traceback=shown,
        )

    def _managed(self, frames: Frames) -> list[int]:
        return [i for i, (f, _) in enumerate(frames) if self.cold.relative(f.f_code.co_filename) is not None]

    def _stage_lines(self) -> None:
        """Let tracebacks show the staged lines, not what lies on disk."""
        for relative, text in self.check.sources.items():
            if text is not None:
                name = self.cold.filename(relative)
                linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)


# --- internals -------------------------------------------------------------------------------------------------


def _stack(frame: FrameType | None) -> Frames:
    found: Frames = []
    while frame is not None:
        found.append((frame, frame.f_lineno))
        frame = frame.f_back
    return found[::-1]


_HERE: Final = str(Path(__file__).parent / "check_")
_IMPORTLIB: Final = str(Path(importlib.__file__).parent)


def _is_machinery(filename: str) -> bool:
    return filename.startswith(("<frozen importlib", _HERE, _IMPORTLIB))


def _limit_memory(more: int | None) -> None:
    """Let the address space grow by `more` bytes from now, by None without limit."""
    soft = hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    if more is not None:
        try:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
        except OSError:
            return  # not Linux: the time limit must do
        soft = pages * resource.getpagesize() + more
        if hard != resource.RLIM_INFINITY:
            soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
