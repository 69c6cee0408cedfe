"""The interactive chat: one screen with what was said this session, its check marks, and a line to write on.

    TTY        full screen (prompt_toolkit): marks change in place, a status line tells about the connection
    otherwise  plain lines in and out, so that the same chat can be piped

Marks: … waits here, ✓ the server has it for good, ✓✓ on the other's device, ✓✓ in colour: read, ✗ refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from apps.chat.client.addresses import resolve
from apps.chat.client.client import Client, Dialing, News, Stopped, Waiting
from apps.chat.client.connection import WRITE
from apps.chat.client.profile import Entry
from apps.chat.client.events import Failed, LocalProtocolError
from apps.chat.client.trouble import Trouble, stopped_trouble
from apps.chat.native.frames import Backlog, Ready, Refused

__all__ = ["HELP", "Terminal", "printable"]

HELP: Final = """write and press Enter to send to the person named in front of the line
  @anna text       send to somebody else, once        /to anna     talk to anna from now on
  /add anna +33…   a name for a number                /contacts    all names
  /remove anna     forget a name                      /history     the last messages, of earlier sessions too
  /retry           connect now, do not wait           /quit        or Ctrl-D, or Ctrl-C on an empty line
  PgUp, PgDn       scroll
marks: … waits here  ✓ the server has it  ✓✓ on the other's device  coloured ✓✓ read  ✗ refused"""

_MARKS: Final = {
    "queued": "…",
    "accepted": "✓",
    "delivered": "✓✓",
    "read": "✓✓",
    "refused": "✗",
    "received": "",
}
_STYLES: Final = {
    "queued": "class:dim",
    "accepted": "class:dim",
    "delivered": "class:dim",
    "read": "class:read",
    "refused": "class:bad",
}
_COLOURS: Final = ("ansicyan", "ansigreen", "ansimagenta", "ansiyellow", "ansiblue")
_LINES: Final = 1000

Line = Entry | tuple[str, str]


def printable(text: str) -> str:
    """Text that cannot move the reader's cursor, change colours or retitle the window."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text.replace("\r\n", "\n"))


class Terminal:
    """Run the chat of one `Client` until the user leaves. The client stays the caller's to close."""

    def __init__(self, client: Client, *, patience: float = 30.0) -> None:
        self.client = client
        self.patience = patience
        "Without a terminal: seconds without progress after the end of input, before it gives up."
        self.profile = client.profile
        self.to = ""
        self.lines: list[Line] = []
        self.status = "starting"
        self.is_online = False
        self._scroll = 0
        self._retry_at = 0.0
        self._done = False
        self._unsendable = 0
        self._changed: Callable[[], None] = lambda: None

    def run(self, with_: str | None = None) -> int:
        """Blocks until the user leaves or the account is gone; returns the exit code."""
        if with_:
            self.to = self._resolve(with_) or ""
        if sys.stdin.isatty() and sys.stdout.isatty():
            asyncio.run(self._full_screen())
        else:
            code = self._plain()
            if code:
                return code
        if self.client.stopped is not None:
            trouble = stopped_trouble(self.client, self.client.stopped)
            print(f"chat: {trouble}", file=sys.stderr)
            return trouble.code
        return 0

    # what the user says

    def enter(self, text: str) -> None:
        """One line from the user: a command, or something to send."""
        text = text.strip()
        if not text:
            return
        if text.startswith("/") and not text.startswith("//"):
            word, _, rest = text[1:].partition(" ")
            action = self._COMMANDS.get(word)
            if action is None:
                self.note(f"there is no command /{word}; /help lists them", "bad")
            else:
                action(self, rest.strip())
            return
        to = self.to
        if text.startswith("@"):
            name, _, text = text[1:].partition(" ")
            to = self._resolve(name) or ""
            if not to:
                self._unsendable += 1
                return
        if not to:
            self._unsendable += 1
            self.note("to whom? /to NAME first, or begin the line with @NAME", "bad")
            return
        if text.strip():
            try:
                self.lines.append(
                    self.client.send(to, text.removeprefix("/") if text.startswith("//") else text)
                )
            except LocalProtocolError as error:
                self._unsendable += 1
                self.note(str(error), "bad")
                return
            self.to = self.to or to
            self._scroll = 0

    def note(self, text: str, style: str = "dim") -> None:
        """A line of our own among what was said."""
        self.lines.append((text, style))
        self._changed()

    def _command_to(self, rest: str) -> None:
        found = self._resolve(rest) if rest else None
        if found:
            self.to = found
        elif not rest:
            self.note("usage: /to NAME or /to +NUMBER", "bad")

    def _command_add(self, rest: str) -> None:
        name, _, number = rest.partition(" ")
        user = self._resolve(number) if number else None
        if not user:
            self.note("usage: /add NAME +NUMBER", "bad")
            return
        self.profile.contacts[name] = user
        self.profile.save_contacts()
        self.note(f"{name} is {user}")

    def _command_remove(self, rest: str) -> None:
        known = self.profile.contacts.pop(rest, None)
        self.profile.save_contacts()
        self.note(f"{rest} is forgotten" if known else f"there is no contact {rest!r}")

    def _command_contacts(self, rest: str) -> None:
        for name, number in sorted(self.profile.contacts.items()):
            self.note(f"{name:16} {number}")
        if not self.profile.contacts:
            self.note("no contacts yet: /add NAME +NUMBER")

    def _command_history(self, rest: str) -> None:
        for entry in self.profile.entries[-(int(rest) if rest.isdigit() else 30) :]:
            self.lines.append(entry)

    def _command_help(self, rest: str) -> None:
        for line in HELP.splitlines():
            self.note(line)

    def _command_retry(self, rest: str) -> None:
        self.client.hurry()

    def _command_quit(self, rest: str) -> None:
        self._done = True

    _COMMANDS: Final[dict[str, Callable[[Terminal, str], None]]] = {
        "to": _command_to,
        "add": _command_add,
        "remove": _command_remove,
        "contacts": _command_contacts,
        "history": _command_history,
        "help": _command_help,
        "?": _command_help,
        "retry": _command_retry,
        "quit": _command_quit,
        "q": _command_quit,
        "exit": _command_quit,
    }

    def _resolve(self, who: str) -> str | None:
        try:
            return resolve(self.profile, who)
        except Trouble as trouble:
            self.note(str(trouble), "bad")
            return None

    # what the server says

    def digest(self, news: list[News]) -> None:
        """Take over what `Client.step` returned."""
        for item in news:
            match item.event:
                case Dialing(host, port):
                    self.status = f"connecting to {host}:{port}"
                case Waiting(seconds, why):
                    self._retry_at = time.monotonic() + seconds
                    self.status, self.is_online = why, False
                case Ready():
                    how = "resumed" if item.event.resumed else "connected"
                    self.status, self.is_online, self._retry_at = f"{how} as {item.event.user}", True, 0.0
                case Backlog(count) if count > 1:
                    self.note(f"{count} waited for you")
                case Refused():
                    later = " (it is tried again)" if item.event.retry else ""
                    self.note(f"not sent: {item.event.text}{later}", "bad")
                case Failed():
                    self.note(item.event.text, "bad")
                case Stopped(code, why):
                    self.status, self.is_online = f"{why} ({code})", False
                    self._done = True
                case _:
                    pass
        fresh = self.profile.unshown()
        if fresh:
            self.profile.mark_shown(fresh)
            self.lines.extend(fresh)
            self.to = self.to or fresh[-1].with_
            self.client.read(fresh)
        if len(self.lines) > _LINES:
            del self.lines[: len(self.lines) - _LINES]

    # full screen

    async def _full_screen(self) -> None:
        from prompt_toolkit.application import Application
        from prompt_toolkit.buffer import Buffer
        from prompt_toolkit.completion import WordCompleter
        from prompt_toolkit.data_structures import Point
        from prompt_toolkit.history import InMemoryHistory
        from prompt_toolkit.layout import HSplit, Layout, VSplit, Window
        from prompt_toolkit.layout.controls import BufferControl, FormattedTextControl
        from prompt_toolkit.styles import Style

        words = WordCompleter(
            lambda: [f"@{name}" for name in self.profile.contacts] + [f"/{c}" for c in self._COMMANDS],
            sentence=True,
        )

        def accept(buffer: Buffer) -> bool:
            self.enter(buffer.text)
            self._wake.set()
            return False

        said = FormattedTextControl(
            self._fragments,
            get_cursor_position=lambda: Point(0, max(0, self._height() - 1 - self._scroll)),
            focusable=False,
        )
        line = Buffer(accept_handler=accept, multiline=False, history=InMemoryHistory(), completer=words)
        prompt = FormattedTextControl(
            lambda: [("class:prompt", f"{printable(self._name(self.to)) or 'to whom?'}> ")]
        )
        layout = Layout(
            HSplit(
                [
                    Window(said, wrap_lines=True, always_hide_cursor=True),
                    Window(FormattedTextControl(self._status_fragments), height=1, style="class:status"),
                    VSplit(
                        [Window(prompt, dont_extend_width=True), Window(BufferControl(line), height=1)],
                        height=1,
                    ),
                ]
            ),
            focused_element=line,
        )
        style = Style.from_dict(
            {
                "dim": "ansibrightblack",
                "bad": "ansired",
                "read": "ansicyan bold",
                "me": "bold",
                "status": "reverse",
                "prompt": "bold",
                "good": "ansigreen",
                "time": "ansibrightblack",
            }
        )
        app: Application[None] = Application(
            layout=layout,
            style=style,
            key_bindings=self._keys(line),
            full_screen=True,
            refresh_interval=1.0,
        )
        self._wake = asyncio.Event()
        self._changed = app.invalidate
        self.note("/help tells the commands")
        pump = asyncio.ensure_future(self._pump(app))
        try:
            await app.run_async()
        finally:
            pump.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pump

    def _keys(self, line: Any) -> Any:
        from prompt_toolkit.key_binding import KeyBindings

        keys = KeyBindings()

        @keys.add("c-c")
        def _(event: Any) -> None:
            if line.text:
                line.reset()
            else:
                event.app.exit()

        @keys.add("c-d")
        def _(event: Any) -> None:
            if not line.text:
                event.app.exit()

        @keys.add("pageup")
        def _(event: Any) -> None:
            self._scroll = min(self._scroll + 10, max(0, self._height() - 1))

        @keys.add("pagedown")
        def _(event: Any) -> None:
            self._scroll = max(0, self._scroll - 10)

        return keys

    async def _pump(self, app: Any) -> None:
        """Drive the client inside asyncio: watch its socket, its deadline and the user's wake-ups."""
        loop = asyncio.get_running_loop()
        while not self._done:
            self.digest(self.client.step(0.0))
            app.invalidate()
            fd, due = self.client.fileno(), self.client.deadline()
            if self._done or due is None:
                break
            if fd is not None:
                loop.add_reader(fd, self._wake.set)
                if self.client.interest() & WRITE:
                    loop.add_writer(fd, self._wake.set)
            try:
                async with asyncio.timeout(max(0.0, due - time.monotonic())):
                    await self._wake.wait()
            except TimeoutError:
                pass
            finally:
                if fd is not None:
                    loop.remove_reader(fd)
                    loop.remove_writer(fd)
                self._wake.clear()
        if app.is_running:
            app.exit()

    def _height(self) -> int:
        return sum(1 if isinstance(line, tuple) else line.text.count("\n") + 1 for line in self.lines)

    def _fragments(self) -> Any:
        out: list[tuple[str, str]] = []
        for line in self.lines:
            if isinstance(line, tuple):
                out.append((f"class:{line[1]}", f"{line[0]}\n"))
                continue
            out.append(("class:time", time.strftime("%H:%M ", time.localtime(line.time))))
            name = printable(self._name(line.with_))
            if line.mine:
                out.append(("class:me", f"→ {name}: "))
            else:
                out.append((_COLOURS[sum(line.with_.encode()) % len(_COLOURS)], f"{name}: "))
            out.append(("", printable(line.text)))
            if line.mine:
                out.append((_STYLES[line.state], f" {_MARKS[line.state]}"))
            out.append(("", "\n"))
        if out:
            out[-1] = (out[-1][0], out[-1][1].removesuffix("\n"))
        return out

    def _status_fragments(self) -> Any:
        dot = ("class:status class:good", " ● ") if self.is_online else ("class:status class:bad", " ○ ")
        text = printable(self.status)
        left = self._retry_at - time.monotonic()
        if not self.is_online and left > 0:
            text += f"; again in {left:.0f} s (/retry: now)"
        unsent = len(self.profile.outbox)
        return [dot, ("class:status", text + (f" · {unsent} waiting to go" if unsent else ""))]

    def _name(self, user: str) -> str:
        return self.profile.name_of(user) if user else ""

    # plain lines

    def _plain(self) -> int:
        """Without a terminal: a line in is a line sent; ends at the end of input, once all is accepted.

        Returns the exit code, 0 also for a client that stopped.
        """
        printed, status, states = 0, "", dict[bytes, str]()
        is_open, buffer = True, b""
        waiting, end = 0, 0.0
        while not self._done and (is_open or (self.profile.outbox and not self.client.stopped)):
            if is_open and select.select([sys.stdin], [], [], 0)[0]:
                data = os.read(sys.stdin.fileno(), 65536)
                is_open = bool(data)
                *complete, buffer = (buffer + (data or b"\n")).split(b"\n")
                for text in complete:
                    self.enter(text.decode("utf-8", "replace"))
            self.digest(self.client.step(0.1))
            if self.status != status:
                status = self.status
                print(f"({status})", file=sys.stderr, flush=True)
            for line in self.lines[printed:]:
                if isinstance(line, tuple):
                    print(line[0], flush=True)
                elif not line.mine:
                    print(f"{self._name(line.with_)}: {printable(line.text)}", flush=True)
            printed = len(self.lines)
            for line in self.lines:
                if isinstance(line, Entry) and line.mine and states.get(line.id) != line.state:
                    states[line.id] = line.state
                    if line.state != "queued":
                        print(f"{_MARKS[line.state]} {line.state}: {printable(line.text)}", flush=True)
            now = time.monotonic()
            if is_open or len(self.profile.outbox) != waiting:
                waiting, end = len(self.profile.outbox), now + self.patience
            elif waiting and now >= end:
                why = self.status if not self.is_online else "the server does not take them"
                print(
                    f"chat: {waiting} not sent within {self.patience:g} s: {why}. "
                    "Kept in the outbox; the next tools/chat command sends what waits there",
                    file=sys.stderr,
                )
                return 4 if self.is_online else 3
        return 2 if self._unsendable and self.client.stopped is None else 0
