"""Measure: `tools/bench [group ...] [--quick] [--json | --markdown] [--list]`.

Groups: kernel, net, store, chat, code, observe; none named: all. `--quick` keeps each group within a minute. Standard output has the
table (or JSON, or Markdown) and nothing else; progress goes to standard error. Exit code 0, also when targets are not
met: that is a result; 1 when a row could not be measured; 130 after Ctrl-C, with what was measured until then.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from typing import Any

from tools.benchmarks import report
from tools.benchmarks.lab import Lab, ProbeFailed, Scale
from tools.benchmarks.model import GROUPS, Case, Result, cases

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    unknown = [group for group in options.groups if group not in GROUPS]
    if unknown:
        print(f"bench: no group {unknown[0]!r}; there are {', '.join(GROUPS)}", file=sys.stderr)
        return 2
    # Imported here: a group registers its cases.
    from tools.benchmarks import chat, code, kernel, net, observe, store  # noqa: F401

    chosen = cases(options.groups or GROUPS)
    if options.only:
        chosen = [one for one in chosen if any(row.key == options.only for row in one.rows)]
        if not chosen:
            print(f"bench: no row has the key {options.only!r}", file=sys.stderr)
            return 2
    if options.list:
        rows = [row for one in chosen for row in one.rows]
        if options.json:
            print(json.dumps([report.to_json(Result(row)) for row in rows], ensure_ascii=False))
        else:
            print(report.catalogue(rows), end="")
        return 0
    scale: Scale = "smoke" if options.smoke else "quick" if options.quick else "full"
    results, stopped = _measure(chosen, scale)
    _show(results, options)
    return 130 if stopped else int(any(result.error for result in results))


def _measure(chosen: list[Case], scale: Scale) -> tuple[list[Result], bool]:
    # A terminated benchmark must clean up as an interrupted one does.
    signal.signal(signal.SIGTERM, _interrupt)
    progress = report.Progress(len(chosen))
    results: list[Result] = []
    try:
        for one in chosen:
            progress.begin(f"{one.group}: {one.rows[0].name}")
            lab = Lab(one, scale, progress.say)
            try:
                one.measure(lab)
                error = None
            except (ProbeFailed, OSError, KeyError) as failure:
                error = (
                    f"{type(failure).__name__}: {failure}"
                    if not isinstance(failure, ProbeFailed)
                    else str(failure)
                )
            finally:
                lab.close()
            for result in lab.results.values():
                result.error = result.error or error or (None if result.samples else "no figure")
                results.append(result)
    except KeyboardInterrupt:
        progress.end()
        print("bench: stopped", file=sys.stderr)
        return results, True
    progress.end()
    return results, False


def _show(results: list[Result], options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps([report.to_json(result) for result in results], ensure_ascii=False, indent=1))
    elif options.markdown:
        print(report.markdown(results), end="")
    else:
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        heading = "smoke run: tiny sizes, one round; these figures mean nothing" if options.smoke else ""
        print(report.table(results, colour, heading=heading), end="")


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tools/bench", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("groups", nargs="*", metavar="group", help=f"{', '.join(GROUPS)}; none: all")
    parser.add_argument(
        "--quick", action="store_true", help="three rounds, small sizes: a group within a minute"
    )
    parser.add_argument("--json", action="store_true", help="a list of rows for programs")
    parser.add_argument("--markdown", action="store_true", help="a table for a document")
    parser.add_argument("--list", action="store_true", help="say what each row measures, and stop")
    parser.add_argument("--only", metavar="KEY", help="the case of one row, by the `key` that --json shows")
    parser.add_argument(
        "--smoke", action="store_true", help="tiny sizes: does it run? The figures mean nothing"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
