"""Brief steps run in the caller's thread; what keeps them from it sends them to the other way, and nothing is lost."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError, OperationalError

from coordinator.ledger.one_hop import AtOnce, BusyError
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import ProjectRow

PROJECTS: Any = ProjectRow.__table__  # type: ignore[attr-defined]


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    made = Ledger.at(tmp_path / "ledger.db")
    await made.migrate()
    yield made
    await made.close()


def add(number: int) -> Any:
    """Work that adds a project and tells its thread."""

    def work(connection: Connection) -> threading.Thread:
        connection.execute(
            insert(PROJECTS).values(id=number, name=f"p{number}", owner_key_id="key", version=0, created_at=1)
        )
        return threading.current_thread()

    return work


def names(connection: Connection) -> list[str]:
    return list(connection.execute(select(PROJECTS.c.name).order_by(PROJECTS.c.id)).scalars())


async def test_at_once_is_this_thread(ledger: Ledger) -> None:
    seen = ledger.commits
    assert await ledger.write(add(1), synced=False, brief=True) is threading.current_thread()
    assert ledger.commits == seen + 1
    assert await ledger.write(add(2), synced=False) is not threading.current_thread()
    assert await ledger.write(add(3), brief=True) is not threading.current_thread(), (
        "a synced commit waits for the disk"
    )
    assert await ledger.read(names, brief=True) == await ledger.read(names) == ["p1", "p2", "p3"]


async def test_at_once_waits_elsewhere_for_a_lock(ledger: Ledger, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.2, lambda: other.execute("COMMIT"))
    release.start()
    assert await ledger.write(add(1), synced=False, brief=True) is not threading.current_thread()
    release.join()
    other.close()
    assert await ledger.read(names, brief=True) == ["p1"]


async def test_at_once_rolls_back(ledger: Ledger) -> None:
    def broken(connection: Connection) -> None:
        add(1)(connection)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await ledger.write(broken, synced=False, brief=True)
    assert await ledger.read(names, brief=True) == []
    await ledger.write(add(1), synced=False, brief=True)
    assert await ledger.read(names) == ["p1"]


async def test_at_once_is_for_one_thread_at_a_time(ledger: Ledger, tmp_path: Path) -> None:
    steps = AtOnce(str(tmp_path / "ledger.db"), ())

    def work(connection: Connection) -> list[str]:
        with pytest.raises(BusyError):
            steps.run(names, "BEGIN DEFERRED")
        return names(connection)

    assert steps.run(work, "BEGIN DEFERRED") == []
    steps.close()
    assert steps.run(names, "BEGIN DEFERRED") == [], "after close another connection is opened"
    steps.close()


async def test_at_once_does_not_sync(ledger: Ledger) -> None:
    def setting(connection: Connection) -> int:
        found = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
        return int(found)

    assert await ledger.read(setting, brief=True) == 1
    assert await ledger.read(setting) == 2


@pytest.mark.parametrize("way", [{}, {"synced": False, "brief": True}], ids=["a thread's", "at once"])
async def test_a_full_disk_is_told_as_sqlalchemy_tells_it(ledger: Ledger, way: dict[str, bool]) -> None:
    """Those who wait for room catch SQLAlchemy's error, wherever in the step the driver's came up."""

    def work(connection: Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        text = "x" * 100_000
        connection.execute(insert(PROJECTS).values(id=1, name=text, owner_key_id="key", version=0, created_at=1))

    with pytest.raises(OperationalError, match="full"):
        await ledger.write(work, **way)


async def test_a_failed_commit_is_told_as_sqlalchemy_tells_it(ledger: Ledger) -> None:
    def work(connection: Connection) -> None:
        connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        connection.exec_driver_sql("CREATE TABLE a (id INTEGER PRIMARY KEY)")
        connection.exec_driver_sql("CREATE TABLE b (a INTEGER REFERENCES a (id) DEFERRABLE INITIALLY DEFERRED)")
        connection.exec_driver_sql("INSERT INTO b VALUES (1)")

    for way in ({}, {"synced": False, "brief": True}):
        with pytest.raises(IntegrityError):
            await ledger.write(work, **way)
