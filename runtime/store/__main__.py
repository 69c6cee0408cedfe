"""Command line: python -m runtime.store {check,backup,restore,compact,stat} …"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback

from runtime.store import maintenance
from runtime.store.contract import StoreCorrupt, StoreError
from runtime.store.environment import last_backup


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when all is well, 1 with the reason on standard error."""
    parser = argparse.ArgumentParser(
        prog="python -m runtime.store", description="Look after a store's files."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("check", "read every record and verify its checksum (a node may be running)"),
        ("stat", "print figures (a node may be running)"),
        ("compact", "rewrite the file without its free pages (no node may be running)"),
    ):
        commands.add_parser(name, help=text).add_argument("path", help="the store's directory")
    command = commands.add_parser("backup", help="copy to a new directory and verify (a node may be running)")
    command.add_argument("path", help="the store's directory")
    command.add_argument("directory", help="where to; must not exist")
    command.add_argument(
        "--damaged-too", action="store_true", help="keep the copy even if records are damaged"
    )
    command = commands.add_parser(
        "restore", help="put a backup in the store's place (no node may be running)"
    )
    command.add_argument("backup", help="the backup's directory")
    command.add_argument("path", help="the store's directory; what is there is kept beside it")
    return _apart(parser.parse_args(arguments))


def _apart(options: argparse.Namespace) -> int:
    # In a child, because a damaged page may make LMDB end the process that reads it; the advice must come out.
    child = os.fork()
    if not child:
        status = 1
        try:
            status = _run(options)
        except (StoreError, OSError) as error:
            sys.stderr.write(f"{error}\n")
        except BaseException:  # noqa: BLE001 - the child must end here, whatever it was
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status < 0:
        path = options.backup if options.command == "restore" else options.path
        why = f"reading it ended by {signal.Signals(-status).name}"
        sys.stderr.write(f"{StoreCorrupt(path, why, last_backup(path))}\n")
        return 1
    return status


def _run(options: argparse.Namespace) -> int:
    out = sys.stdout.write
    match options.command:
        case "check":
            report = maintenance.check(options.path)
            (out if report.is_sound else sys.stderr.write)(f"{report.text()}\n")
            return 0 if report.is_sound else 1
        case "stat":
            for name, value in maintenance.stat(options.path).items():
                out(f"{name:12} {value}\n")
        case "compact":
            before, after = maintenance.compact(options.path)
            out(f"{before} bytes before, {after} after\n")
        case "backup":
            report = maintenance.backup(options.path, options.directory, damaged_too=options.damaged_too)
            out(f"{report.text()}\nbackup in {options.directory}\n")
            out(
                f"to restore it: {sys.executable} -m runtime.store restore {options.directory} {options.path}\n"
            )
        case "restore":
            kept = maintenance.restore(options.backup, options.path)
            out(f"restored {options.path} from {options.backup}\n")
            if kept is not None:
                out(f"what was there is in {kept}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
