"""What every command in tools/ does first: make or reuse `.venv`, then run a module inside it.

Standard library only, and syntax that an old Python can still parse, so that it can say in a sentence
what is missing. The steps: find a Python >= 3.11; compare the stamp in `.venv` with the lock files and
that Python; if they differ, take the set-up lock (two commands may start at once), make the environment
and install the exact versions of etc/requirements*.lock; then replace this process by the module's.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK_FILE = ROOT / ".venv.lock"
OLDEST = (3, 11)
RUN = ("etc/requirements.lock",)
DEV = ("etc/requirements.lock", "etc/requirements-dev.lock")

# What a Python must be able to do; prints its version as the stamp wants it.
_PROBE = (
    "import sys, ssl, venv, ensurepip; assert sys.version_info >= (3, 11); "
    "print('.'.join(map(str, sys.version_info[:3])))"
)
_NETWORK = re.compile(
    r"from versions: none|name resolution|NewConnectionError|Network is unreachable|Connection refused|ConnectTimeout"
    r"|Read timed out|No route to host|ProxyError|Max retries exceeded|CERTIFICATE_VERIFY_FAILED",
    re.IGNORECASE,
)


# API


def main(module, arguments, locks=RUN, paths=False):
    """Set up, then become `python -m module arguments` in the repository's root.

    With `paths`, arguments that name an existing file or folder where the user stands keep meaning that.
    """
    try:
        python = ensure(locks)
    except SetupError as error:
        say(str(error))
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        say("stopped. Nothing is broken: the next command goes on from here.")
        raise SystemExit(130) from None
    if paths and Path.cwd() != ROOT:
        arguments = [absolute(argument) for argument in arguments]
    os.environ["EVERGREEN_CWD"] = str(Path.cwd())  # for commands that take paths of the user's by themselves
    os.chdir(ROOT)
    sys.stdout.flush()
    os.execv(python, [python, "-m", module, *arguments])


def ensure(locks=RUN):
    """Return the path of the environment's Python, made and filled if it is not up to date."""
    if is_current(locks):
        return str(VENV / "bin" / "python")
    base, version = find_python()
    with open(LOCK_FILE, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("another command is setting up .venv; waiting for it ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_current(locks):
            build(base, version, locks)
    return str(VENV / "bin" / "python")


def run_in_venv(arguments, locks=DEV):
    """Run one module of the environment to its end and return its exit code (for tools with several steps)."""
    ensure(locks)
    # By `-m`: scripts in .venv/bin hold the path where it was made, and a repository may be moved.
    return subprocess.call([str(VENV / "bin" / "python"), "-m", *arguments], cwd=str(ROOT))


class SetupError(Exception):
    """A sentence for the user."""


def say(text):
    print("evergreen: " + text, file=sys.stderr, flush=True)


# Internals


def absolute(argument):
    if argument.startswith("--config="):
        return "--config=" + str(Path(argument[9:]).resolve())
    name, separator, rest = argument.partition("::")
    if not name.startswith("-") and Path(name).exists():
        return str(Path(name).resolve()) + separator + rest
    return argument


def wanted(locks):
    digest = hashlib.sha256()
    for name in locks:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def stamp_path(locks):
    return VENV / ("stamp-" + Path(locks[-1]).stem)


def is_current(locks):
    """Is the environment complete for these lock files, and does its Python still exist?"""
    try:
        digest, version, home = stamp_path(locks).read_text().split("\n")[:3]
    except (OSError, ValueError):
        return False
    # `home` is the interpreter that the environment points to: gone after an upgrade of the system.
    return (
        digest == wanted(locks)
        and Path(home).exists()
        and (VENV / "bin" / "python").exists()
        and bool(version)
    )


def find_python():
    """Return (path, version) of the first Python that will do; raise SetupError with what is wrong."""
    reasons = []
    own = getattr(sys, "_base_executable", None) or sys.executable
    names = [own] + ["python3." + str(minor) for minor in range(OLDEST[1], 20)] + ["python3"]
    seen = set()
    for name in names:
        path = shutil.which(name)
        if path is None or path in seen:
            continue
        seen.add(path)
        probe = subprocess.run(
            [path, "-c", _PROBE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False
        )
        if probe.returncode == 0:
            return path, probe.stdout.decode().strip()
        error = probe.stderr.decode(errors="replace").strip().split("\n")[-1]
        if "No module named" in error:
            reasons.append(
                path + " lacks a part of the standard library (" + error + "); on Debian and Ubuntu: "
                "apt install python3-venv"
            )
        elif "AssertionError" in error:
            reasons.append(path + " is older than 3.11")
    found = "; ".join(reasons) if reasons else "none was found"
    raise SetupError("needs Python 3.11 or newer with venv and pip: " + found + ".")


def build(base, version, locks):
    started = time.monotonic()
    made = VENV / "made-by"
    fresh = not (VENV / "bin" / "python").exists() or not made.exists() or made.read_text() != version
    if fresh:
        say("first set-up: making .venv with Python " + version + " (" + base + ") ...")
        done = subprocess.run(
            [base, "-m", "venv", "--clear", str(VENV)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if done.returncode != 0:
            output = done.stdout.decode(errors="replace").strip()
            raise SetupError("could not make .venv (is the disk full, or the folder read-only?):\n" + output)
        made.write_text(version)
    for name in locks:
        install(name)
    home = str((VENV / "bin" / "python").resolve())
    for index in range(len(locks)):
        part = locks[: index + 1]
        stamp_path(part).write_text(wanted(part) + "\n" + version + "\n" + home + "\n")
    say("ready after " + str(round(time.monotonic() - started)) + " s. The next start takes none of this.")


def install(name):
    """Install one lock file, with a line of progress per package."""
    pins = [line for line in (ROOT / name).read_text().splitlines() if re.match(r"^[A-Za-z0-9]", line)]
    say("installing " + str(len(pins)) + " packages of " + name + " ...")
    command = [
        str(VENV / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-input",
    ]
    command += ["--no-deps", "--progress-bar", "off", "-r", str(ROOT / name)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=str(ROOT))
    tail, seen, live = deque(maxlen=12), 0, sys.stderr.isatty()
    try:
        for raw in process.stdout:
            line = raw.decode(errors="replace").rstrip()
            tail.append(line)
            match = re.match(
                r"(?:Collecting|Requirement already satisfied:) ([A-Za-z0-9._-]+(?:==[^ ]+)?)", line
            )
            if match:
                seen += 1
                progress(match.group(1), seen, len(pins), live)
            elif live and line.startswith(("Building wheel", "Installing collected")):
                progress(line.split(":")[0].lower(), seen, len(pins), live)
        code = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if live:
        sys.stderr.write("\r\x1b[K")
    if code != 0:
        raise SetupError(explain(name, "\n".join(tail)))


def progress(what, seen, total, live):
    text = "  [" + str(seen) + "/" + str(total) + "] " + what
    if live:
        sys.stderr.write("\r\x1b[K" + text[:78])
        sys.stderr.flush()
    elif seen % 10 == 0 or seen == total:
        print(text, file=sys.stderr, flush=True)


def explain(name, output):
    if _NETWORK.search(output):
        return (
            "could not install "
            + name
            + ": the package index cannot be reached. Check the network (or point pip at "
            "a mirror with PIP_INDEX_URL) and start the same command again; what is done stays done.\n"
            + output
        )
    if "No space left" in output:
        return "could not install " + name + ": the disk is full.\n" + output
    return "could not install " + name + ". pip's last words:\n" + output
