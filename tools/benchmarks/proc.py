"""What /proc says about a process and its children: CPU time and memory; and where they may run."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

__all__ = ["cpu_seconds", "family", "pin", "resident"]


def family(pid: int) -> list[int]:
    """The process and all its descendants."""
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        for task in Path(f"/proc/{one}/task").iterdir():
            todo += [int(word) for word in (task / "children").read_text().split()]
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time that the process's threads have used, to the nanosecond (children are not counted)."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def resident(pid: int | str = "self") -> int:
    """Bytes of private memory in RAM: the heap, not the files that every Python shares."""
    total = 0
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(("Private_Clean:", "Private_Dirty:", "Swap:")):
            total += int(line.split()[1]) * 1024
    return total


def pin(pid: int, cpus: set[int]) -> None:
    """Let a process and its descendants, with all their threads, run on these processors only."""
    for one in family(pid):
        for task in Path(f"/proc/{one}/task").iterdir():
            with contextlib.suppress(OSError):
                os.sched_setaffinity(int(task.name), cpus)
