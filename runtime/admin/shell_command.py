"""`tools/shell`: a Python shell inside a running node.

    tools/shell                            a prompt
    tools/shell -c 'top(by="mailbox")'     one input; --json: its value as JSON
    tools/shell < script.py                inputs from a file or pipe, until one fails
    tools/shell --node HOST:PORT ...       a node on another machine, by mutual TLS (its admin.remote_shell must be on)
    tools/shell --dump FILE                a crash dump, with the commands that look

Exit codes: 0 done; 1 the input failed, or there is no node, or no right; 2 usage; 130 interrupted; `exit(3)`: 3.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runtime.admin.client import NotConnected, OperationFailed
from runtime.admin.connect import PATHS, Unfit, add_options, connect, mean_paths
from runtime.admin.shell_client import Gone, ShellLink
from runtime.admin.shell_text import parse
from runtime.admin.terminal_render import Plain, Rich, printable, screen

__all__ = ["main"]

# API


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    options = _options(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what it has no letters for is shown as Python writes it
            stream.reconfigure(errors="backslashreplace")
    try:
        return _run(options)
    except OperationFailed as failed:
        _complain(options, failed.kind, str(failed))
    except (NotConnected, Unfit, Gone) as problem:
        _complain(options, type(problem).__name__, str(problem))
    except BrokenPipeError:  # nobody reads: `tools/shell -c 'ps()' | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        _complain(options, "interrupted", "interrupted")
        return 130
    return 1


# Internals


def _run(options: argparse.Namespace) -> int:
    if options.code is None and sys.stdin.isatty() and sys.stdout.isatty() and not options.json:
        from runtime.admin.terminal import Terminal

        with _link(options) as link:
            view = screen(link.hello["node"])
            assert isinstance(view, Rich)
            return Terminal(link, view).run()
    text = options.code if options.code is not None else sys.stdin.read()
    inputs = [text] if options.code is not None else list(_statements(text))
    with _link(options) as link:
        code = 0
        for one in inputs:
            code = _one(link, one, options)
            if code:
                break
        return code


class _Linked:
    """A link, and the connection that ends with it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.client: Any = None

    def __enter__(self) -> Any:
        if self.options.dump:
            from runtime.admin.shell_dump import DumpLink

            return DumpLink(Path(self.options.dump))
        self.client = connect(self.options)
        try:
            return ShellLink(self.client)
        except BaseException:
            self.client.close()
            raise

    def __exit__(self, *_: object) -> None:
        if self.client is not None:
            self.client.close()


_link = _Linked


def _one(link: Any, code: str, options: argparse.Namespace) -> int:
    view = screen(link.hello["node"])
    form = "json" if options.json else "screen"
    answer = link.evaluate(
        code, width=view.width, form=form, on_event=_silent(view) if options.json else view.event
    )
    view.close()
    kind = answer["kind"]
    if options.json:
        told = (
            answer["value"] if kind == "json" else {"error": {"kind": kind, "text": answer.get("text", "")}}
        )
        _print(json.dumps(told, ensure_ascii=False, default=str))
    else:
        view.answer(answer)
    if kind == "left":
        return int(answer.get("code", 0))
    return 130 if kind == "interrupted" else 0 if kind in ("none", "text", "table", "json") else 1


def _silent(view: Plain | Rich) -> Any:
    """With --json, standard output is the value's: what is printed goes to standard error."""
    return Plain(sys.stderr, sys.stderr).event


def _statements(text: str) -> Iterator[str]:
    """The inputs of a script, one after the other; one that cannot be parsed is one input, for its error to be shown."""
    try:
        tree = parse(text, "<stdin>")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        yield text
        return
    lines = text.splitlines()
    for node in tree.body:
        first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))])
        same = [other for other in tree.body if other.lineno <= (node.end_lineno or 0) and other is not node]
        if any((other.end_lineno or 0) >= node.lineno for other in same):  # `a; b` on one line
            yield text
            return
        yield "\n".join(lines[first - 1 : node.end_lineno])


def _complain(options: argparse.Namespace, kind: str, text: str) -> None:
    if options.json:
        _print(json.dumps({"error": {"kind": kind, "text": text}}))
    else:
        sys.stderr.write(f"evergreen: {printable(text)}\n")


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tools/shell",
        description="A Python shell inside a running node; help() in it lists the commands.",
    )
    parser.add_argument("-c", dest="code", metavar="CODE", help="evaluate this, print its value, and leave")
    parser.add_argument("--json", action="store_true", help="print the value as one line of JSON")
    parser.add_argument("--dump", metavar="FILE", help="look into a crash dump instead of a node")
    add_options(parser)
    options = parser.parse_args(arguments)
    mean_paths(options, (*PATHS, "dump"))
    return options


if __name__ == "__main__":
    sys.exit(main())
