"""Steps on SQLite that wait for the disk, and those that do not: what is kept, and that the next step waits again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import Connection

from coordinator.ledger.one_hop import KEPT
from coordinator.ledger.store import Ledger
from verifier.errors import Conflict

NORMAL, FULL = 1, 2
"""Values of SQLite's PRAGMA synchronous."""


def _synchronous(connection: Connection) -> int:
    return int(connection.exec_driver_sql("PRAGMA synchronous").scalar_one())


async def test_only_the_step_that_asks_for_it_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    ledger = Ledger.at(tmp_path / "ledger.db")
    assert await ledger.write(_synchronous) == FULL
    assert await ledger.write(_synchronous, synced=False) == NORMAL
    assert await ledger.write(_synchronous) == FULL
    async with ledger.transaction() as session:
        assert await (await session.connection()).run_sync(_synchronous) == FULL
    await ledger.close()


async def test_a_step_that_raises_leaves_nothing_and_the_next_one_waits_for_the_disk(tmp_path: Path) -> None:
    ledger = Ledger.at(tmp_path / "ledger.db")
    await ledger.write(lambda connection: connection.exec_driver_sql("CREATE TABLE seen (at INTEGER)") and None)

    def note(connection: Connection) -> None:
        connection.exec_driver_sql("INSERT INTO seen VALUES (1)")

    def fail(connection: Connection) -> None:
        note(connection)
        raise Conflict("W3B-3001", "no")

    with pytest.raises(Conflict):
        await ledger.write(fail, synced=False)
    assert await ledger.write(_synchronous) == FULL
    await ledger.write(note, synced=False)

    def count(connection: Connection) -> int:
        return int(connection.exec_driver_sql("SELECT count(*) FROM seen").scalar_one())

    assert await ledger.read(count) == 1
    await ledger.close()
    again = Ledger.at(tmp_path / "ledger.db")
    assert await again.read(count) == 1
    await again.close()


async def test_many_steps_at_once_all_come_to_their_end(tmp_path: Path) -> None:
    ledger = Ledger.at(tmp_path / "ledger.db")
    await ledger.write(lambda connection: connection.exec_driver_sql("CREATE TABLE seen (at INTEGER)") and None)

    def note(connection: Connection) -> None:
        connection.exec_driver_sql("INSERT INTO seen VALUES (1)")

    def count(connection: Connection) -> int:
        return int(connection.exec_driver_sql("SELECT count(*) FROM seen").scalar_one())

    steps = 4 * KEPT
    await asyncio.gather(*(ledger.write(note) for _ in range(steps)), *(ledger.read(count) for _ in range(steps)))
    assert await ledger.read(count) == steps
    await ledger.close()
