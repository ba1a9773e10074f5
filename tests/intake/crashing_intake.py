"""Runs an intake and kills itself at a named point: `python crashing_intake.py POINT LEDGER HOME URL`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from intake_world import PROGRAMS

from coordinator.intake.recorder import Recorder
from coordinator.intake.service import Intake
from coordinator.intake.stream import JetStreamConsumer, StreamMessage
from coordinator.ledger.store import Ledger
from coordinator.settings import Settings


async def die_before_ack(_consumer: JetStreamConsumer, _messages: Sequence[StreamMessage]) -> None:
    """The transaction is committed; the acknowledgement never goes out."""
    os.kill(os.getpid(), signal.SIGKILL)


async def die_in_transaction(_recorder: Recorder, session: Any, batch: Any) -> None:
    """Rows are in the open transaction; it never commits."""
    await session.flush()
    if batch.accepted:
        os.kill(os.getpid(), signal.SIGKILL)


async def main(point: str, ledger: str, home: str, url: str) -> None:
    """Run until the crash."""
    if point == "before_ack":
        JetStreamConsumer.ack = die_before_ack  # type: ignore[method-assign, assignment]
    else:
        Recorder._write_sequences = die_in_transaction  # type: ignore[method-assign, assignment]
    await Intake(Ledger.at(Path(ledger)), Settings(home=Path(home)), url, workers=0, programs=PROGRAMS).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
