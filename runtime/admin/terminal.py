"""The shell's prompt: line editing, history, several lines, colours, completion from the node's own names.

Enter sends what is a whole input, and otherwise begins the next line, indented; an input with a block in it ends with an
empty line. Alt-Enter always begins a line. Ctrl-C at the prompt drops what is typed, Ctrl-D leaves. The history is a file
of the user's own, ~/.evergreen/shell_history.
"""

from __future__ import annotations

import asyncio
import os
import sys
import termios
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import completion_is_selected, has_completions
from prompt_toolkit.formatted_text import HTML
from prompt_toolkit.history import FileHistory, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.lexers import PygmentsLexer
from prompt_toolkit.styles import Style
from pygments.lexers.python import PythonLexer

from runtime.admin.client import NotConnected
from runtime.admin.shell_client import Gone, ShellLink
from runtime.admin.shell_text import is_complete
from runtime.admin.terminal_render import Rich, printable

__all__ = ["Terminal"]

# Types


class Terminal:
    """Reads inputs until the user leaves or the node does."""

    def __init__(self, link: ShellLink, screen: Rich, *, history: Path | None = None) -> None:
        self.link = link
        self.screen = screen
        self.inputs = 0
        self.session: PromptSession[str] = PromptSession(
            history=_history(history or Path("~/.evergreen/shell_history").expanduser()),
            lexer=PygmentsLexer(PythonLexer),
            completer=_FromNode(link),
            complete_while_typing=False,
            multiline=True,
            key_bindings=_bindings(),
            prompt_continuation=lambda width, _line, _: HTML("<dots>{}</dots>").format("... ".rjust(width)),
            style=Style.from_dict(
                {"dots": "ansibrightblack", "node": "ansigreen", "count": "ansibrightblack"}
            ),
        )

    def run(self) -> int:
        """Blocks until the end; returns the exit code."""
        with _keys_are_kept():
            return self._run()

    # internals

    def _run(self) -> int:
        hello = self.link.hello
        where = f"attached to {hello['node']} (pid {hello['pid']}), shell {self.link.number}"
        self.screen.say(f"{hello.get('greeting', where)}. help() lists the commands, Ctrl-D leaves.")
        while True:
            try:
                code = self._ask()
            except EOFError:
                return 0
            except KeyboardInterrupt:
                continue
            except Gone as gone:
                self._again(gone)
                continue
            try:
                left = self._evaluate(code) if code.strip() else None
                if left is not None:
                    return left
            except KeyboardInterrupt:  # while what came was written to the screen
                self.screen.close()
                self.screen.say("interrupted: the rest is not shown")

    def _ask(self) -> str:
        prompt = HTML("<node>{}</node> <count>{}</count>> ").format(
            self.link.hello.get("prompt", printable(self.link.hello["node"].partition("@")[0])),
            self.inputs + 1,
        )
        return asyncio.run(self._prompt(prompt))

    async def _prompt(self, prompt: Any) -> str:
        """Read an input; meanwhile hear of the shell's or the node's end."""
        if not self.link.is_node:  # a dump: nobody is at the other end
            return await self.session.prompt_async(prompt)
        loop = asyncio.get_running_loop()
        fd = self.link.client.fileno()

        def news() -> None:
            try:
                self.link.check()
            except (Gone, NotConnected) as end:
                loop.remove_reader(fd)
                self.session.app.exit(exception=end)

        loop.add_reader(fd, news)
        try:
            return await self.session.prompt_async(prompt)
        finally:
            loop.remove_reader(fd)

    def _evaluate(self, code: str) -> int | None:
        """Run an input; the exit code when the user leaves."""
        self.inputs += 1
        started = time.monotonic()
        try:
            answer = self.link.evaluate(code, width=self.screen.width, on_event=self.screen.event)
        except Gone as gone:
            self.screen.close()
            self._again(gone)
            return None
        except KeyboardInterrupt:
            self.screen.close()
            raise NotConnected(
                "left: the node does not answer; what was typed may still be running there"
            ) from None
        self.screen.close()
        self.screen.answer(answer)
        took = time.monotonic() - started
        if took > 1.0 and answer["kind"] != "left":
            self.screen.say(f"{took:.1f} s")
        return int(answer.get("code", 0)) if answer["kind"] == "left" else None

    def _again(self, gone: Gone) -> None:
        self.link.attach()
        self.inputs = 0
        self.screen.say(f"{gone}. This is another one, shell {self.link.number}; its names are new.")


class _FromNode(Completer):
    """Asks the node."""

    def __init__(self, link: ShellLink) -> None:
        self.link = link

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        text = document.text_before_cursor
        start, names = self.link.complete(text)
        for name in names:
            yield Completion(name, start - len(text))


# Internals


def _history(path: Path) -> Any:
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError:  # a home that cannot be written: the history is this session's
        return InMemoryHistory()
    return FileHistory(str(path))


@contextmanager
def _keys_are_kept() -> Iterator[None]:
    """Between two prompts, and while an input runs, let the terminal keep what is typed as it was typed, for the next prompt.

    By itself it would echo it (`^C` above all), make lines of it, and take a Ctrl-D for its own. The prompt sets modes of its
    own and goes back to these, so there is no moment in between; Ctrl-C is a signal all the same.
    """
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    kept = termios.tcgetattr(fd)
    kept[0] &= ~termios.ICRNL
    kept[3] &= ~(termios.ECHO | termios.ICANON)
    kept[6][termios.VMIN], kept[6][termios.VTIME] = 1, 0
    termios.tcsetattr(fd, termios.TCSANOW, kept)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSANOW, before)


def _bindings() -> KeyBindings:
    keys = KeyBindings()
    keys.add("enter", filter=~completion_is_selected)(_enter)
    keys.add("enter", filter=has_completions & completion_is_selected)(_take_completion)
    keys.add("escape", "enter")(lambda event: _new_line(event.current_buffer))
    keys.add("tab")(_tab)
    return keys


def _enter(event: KeyPressEvent) -> None:
    buffer = event.current_buffer
    if is_complete(buffer.text) and not buffer.document.text_after_cursor.strip():
        buffer.validate_and_handle()
    else:
        _new_line(buffer)


def _take_completion(event: KeyPressEvent) -> None:
    event.current_buffer.complete_state = None


def _tab(event: KeyPressEvent) -> None:
    buffer = event.current_buffer
    if not buffer.document.current_line_before_cursor.strip():
        buffer.insert_text("    ")
    elif buffer.complete_state is not None:
        buffer.complete_next()
    else:
        buffer.start_completion(insert_common_part=True)


def _new_line(buffer: Any) -> None:
    line = buffer.document.current_line_before_cursor
    indent = line[: len(line) - len(line.lstrip())]
    buffer.insert_text("\n" + indent + ("    " if line.rstrip().endswith(":") else ""))
