"""Runs an intake and kills itself at a named point: `python crashing_intake.py POINT LEDGER HOME URL`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from intake_world import PROGRAMS
from sqlalchemy import Connection

from coordinator.intake import recorder
from coordinator.intake.batch import Batch
from coordinator.intake.batch_rows import write_batch
from coordinator.intake.consumer import JetStreamConsumer, StreamMessage
from coordinator.intake.service import Intake
from coordinator.ledger.store import Ledger
from coordinator.settings import Settings


async def die_before_ack(_consumer: JetStreamConsumer, _messages: Sequence[StreamMessage]) -> None:
    """The transaction is committed; the acknowledgement never goes out."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_in_transaction(connection: Connection, project_id: int, batch: Batch, now: int) -> None:
    """Rows are in the open transaction; it never commits."""
    write_batch(connection, project_id, batch, now)
    if batch.accepted:
        os.kill(os.getpid(), signal.SIGKILL)


async def main(point: str, ledger: str, home: str, url: str) -> None:
    """Run until the crash."""
    if point == "before_ack":
        JetStreamConsumer.ack = die_before_ack  # type: ignore[method-assign, assignment]
    else:
        vars(recorder)["write_batch"] = die_in_transaction
    await Intake(Ledger(ledger), Settings(home=Path(home)), url, workers=0, programs=PROGRAMS).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
