"""Processes of this machine as Linux shows them (proc(5)), and signals to exactly the one that was looked at."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """A process that was running a moment ago."""

    pid: int
    parent: int
    started: int
    """Clock ticks after boot; with `pid` it names one process for ever."""
    command: tuple[str, ...]
    """Its command line; never empty: a process without one has its name in parentheses."""

    @property
    def name(self) -> str:
        """Short, for people: what runs, not the Python that runs it."""
        words = [word for word in self.command if word != "-m"]
        if Path(words[0]).name.startswith("python") and len(words) > 1:
            del words[0]
        return f"{Path(words[0]).name} ({self.pid})"

    @property
    def running(self) -> bool:
        """Whether it is still there and not a zombie."""
        return look(self.pid) == self

    def send(self, number: signal.Signals) -> bool:
        """Send it a signal; whether it was there to get it."""
        if not self.running:
            return False
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)
            return True
        return False


def look(pid: int) -> Process | None:
    """The process of an id; None where there is none, or only a zombie."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
        command = (_PROC / str(pid) / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name may hold spaces and parentheses: what follows the last one is in columns (field 3 on).
    head, _, tail = stat.rpartition(")")
    columns = tail.split()
    if columns[0] in ("Z", "X"):
        return None
    words = tuple(part.decode(errors="replace") for part in command.split(b"\0") if part)
    return Process(pid, int(columns[1]), int(columns[19]), words or (f"({head.partition('(')[2]})",))


def descendants(root: int) -> list[Process]:
    """Children of a process, their children, and so on; ordered by id."""
    every = [found for entry in _PROC.iterdir() if entry.name.isdigit() and (found := look(int(entry.name)))]
    inside = {root}
    while more := {each.pid for each in every if each.parent in inside} - inside:
        inside |= more
    return sorted((each for each in every if each.pid in inside and each.pid != root), key=lambda each: each.pid)
