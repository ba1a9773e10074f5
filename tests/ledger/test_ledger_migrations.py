"""A ledger of the first release, with rows in every table, becomes today's without losing one, on each database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData, Table, func, insert, select
from sqlmodel import SQLModel

from coordinator.ledger import control_tables, history_tables, outbox_tables, tables  # noqa: F401  (registers the tables)
from coordinator.ledger.migrations import configuration
from coordinator.ledger.store import Ledger
from tests.databases import KINDS, Databases

OURS = "alembic_version"


@pytest.fixture(params=KINDS)
def empty_url(request: pytest.FixtureRequest, databases: Databases, tmp_path: Path) -> Iterator[str]:
    """A database without any table."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    url = databases.postgresql(migrated=False)
    yield url
    databases.drop(url)


@pytest.fixture
async def ledger(empty_url: str) -> AsyncIterator[Ledger]:
    made = Ledger(empty_url)
    yield made
    await made.close()


def first_release(connection: Connection) -> None:
    command.upgrade(configuration(connection), "0001")


def value_of(column: Any) -> Any:
    """Something that the column takes."""
    kind = str(column.type).split("(")[0]
    values = {"VARCHAR": "x", "BOOLEAN": True, "JSON": {}, "FLOAT": 1.5, "DOUBLE PRECISION": 1.5}
    return b"x" if kind in ("BLOB", "BYTEA") else values.get(kind, 1)


def reflected(connection: Connection) -> list[Table]:
    """The database's own tables, referenced ones first."""
    found = MetaData()
    found.reflect(connection)
    return [table for table in found.sorted_tables if table.name != OURS]


def fill(connection: Connection) -> set[str]:
    """One row in each table; returns their names."""
    for table in reflected(connection):
        connection.execute(insert(table).values({column.name: value_of(column) for column in table.columns}))
    return {table.name for table in reflected(connection)}


def counts(connection: Connection) -> dict[str, int]:
    return {
        table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
        for table in reflected(connection)
    }


def differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, SQLModel.metadata))


async def test_a_ledger_of_the_first_release(ledger: Ledger) -> None:
    async with ledger.engine.begin() as connection:
        await connection.run_sync(first_release)
        old = await connection.run_sync(fill)
    await ledger.migrate()
    async with ledger.engine.connect() as connection:
        assert await connection.run_sync(differences) == []
        found = await connection.run_sync(counts)
    assert old < set(found)
    assert {name: found[name] for name in old} == dict.fromkeys(old, 1)
    async with ledger.reading() as session:  # what is new has a value that the classes take
        for mapper in SQLModel._sa_registry.mappers:
            rows = (await session.exec(select(mapper.class_))).all()  # type: ignore[call-overload]
            assert len(rows) == found[str(mapper.local_table)]
    await ledger.migrate()


async def test_the_way_back(ledger: Ledger) -> None:
    await ledger.migrate()
    async with ledger.engine.begin() as connection:
        await connection.run_sync(lambda sync: command.downgrade(configuration(sync), "0001"))
        await connection.run_sync(fill)
    await ledger.migrate()
    async with ledger.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_several_coordinators_start_at_once(empty_url: str) -> None:
    ledgers = [Ledger(empty_url) for _ in range(4)]
    await asyncio.gather(*(ledger.migrate() for ledger in ledgers))
    async with ledgers[0].engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    for ledger in ledgers:
        await ledger.close()
