"""Test only: an intake in a process of its own over a real ledger and a real nats-server.

As a program it runs the intake until it is killed: `python -m tests.scenarios.intake_process LEDGER_URL HOME NATS_URL`.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlmodel import select

from coordinator.intake.service import Intake
from coordinator.intake.stream import JetStream
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import DeadLetterRow, ReadingRow, StreamCursorRow, TaskRow
from coordinator.settings import Settings
from tests.intake.intake_world import PROGRAMS, add_project, add_version
from verifier.errors import Unavailable
from verifier.reading import Reading

ROOT = Path(__file__).parents[2]
WAIT_SECONDS = 120.0


@contextmanager
def intake_process(ledger: Ledger, home: Path, url: str) -> Iterator[subprocess.Popen[bytes]]:
    """The intake's process, killed at the end; what it logs is in `intake.log` of the home folder."""
    command = [sys.executable, "-m", "tests.scenarios.intake_process", ledger.url, str(home), url]
    with (home / "intake.log").open("ab") as sink:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}, stdout=sink
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def rows(ledger: Ledger, table: Any) -> list[Any]:
    """Every row of a table."""
    async with ledger.reading() as session:
        return list(await session.exec(select(table)))


async def taken(ledger: Ledger, position: int) -> None:
    """Wait until the intake has taken everything up to the position."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not any(row.next_position > position for row in await rows(ledger, StreamCursorRow)):
            await asyncio.sleep(0.05)


async def published_project(ledger: Ledger, url: str) -> JetStream:
    """Project 1 with its stream; returns the way to it."""
    await add_project(ledger)
    await add_version(ledger)
    stream = await JetStream.connect(url)
    await stream.ensure(1)
    return stream


async def send_until_stored(stream: JetStream, readings: Sequence[Reading]) -> set[str]:
    """Publish as a device does, again until it is acknowledged; returns the codes of the refusals on the way."""
    codes = set()
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            try:
                await stream.publish(readings)
            except Unavailable as error:
                codes.add(error.code)
                await asyncio.sleep(0.05)
            else:
                return codes


async def require_each_once(ledger: Ledger, sequences: range) -> None:
    """Each sequence of device 0 is one reading, in exactly one window or in the open one, and windows do not overlap."""
    readings = sorted(await rows(ledger, ReadingRow), key=lambda row: row.position)
    assert sorted(row.sequence for row in readings) == list(sequences)
    tasks = sorted(await rows(ledger, TaskRow), key=lambda row: row.window_start)
    ends = [0, *(task.window_end for task in tasks)]
    assert all(end <= task.window_start for end, task in zip(ends, tasks, strict=False))
    for task in tasks:
        inside = [row for row in readings if task.window_start <= row.position < task.window_end]
        assert len(inside) == task.count
        assert {row.task_id for row in inside} == {task.id}
    assert {row.code for row in await rows(ledger, DeadLetterRow)} <= {"W3B-1005"}


async def _run(ledger: str, home: str, url: str) -> None:
    await Intake(Ledger(ledger), Settings(home=Path(home)), url, workers=0, programs=PROGRAMS).run()


if __name__ == "__main__":
    asyncio.run(_run(*sys.argv[1:]))
