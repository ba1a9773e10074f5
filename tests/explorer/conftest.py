"""An explorer a test, over each kind of database that we support."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.databases import Databases
from tests.explorer_basics import Seed
from tests.explorer_world import World, seeded, start


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, databases: Databases) -> tuple[Path, Seed]:
    """A seeded SQLite file, made once and copied for each test."""
    path = tmp_path_factory.mktemp("explorer") / "seeded.db"
    url = databases.sqlite(path)
    seed = asyncio.run(seeded(url))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path, seed


@pytest.fixture
async def world(tmp_path: Path, template: tuple[Path, Seed]) -> AsyncIterator[World]:
    """A served, seeded SQLite ledger."""
    path, seed = template
    shutil.copyfile(path, tmp_path / "ledger.db")
    made = await start(tmp_path, f"sqlite+aiosqlite:///{tmp_path / 'ledger.db'}", seed)
    yield made
    await made.stop()


@pytest.fixture
async def both(tmp_path: Path, ledger_url: str) -> AsyncIterator[World]:
    """The same, once on SQLite and once on PostgreSQL."""
    made = await start(tmp_path, ledger_url, await seeded(ledger_url))
    yield made
    await made.stop()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that keeps cookies of an IP address and follows nothing by itself."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield session
