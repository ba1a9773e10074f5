"""Calls that come together when what is remembered has grown old: one asks the ledger, and all get the answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.access.quotas import REQUESTS, OverQuota
from coordinator.api.auth import Caller
from coordinator.api.rates import Rates
from coordinator.ledger.store import Ledger


class Counted(Ledger):
    """Counts its reads."""

    reads = 0

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        self.reads += 1
        async with super().reading() as session:
            yield session


async def test_a_projects_limit_is_read_once_for_all_and_holds_for_each(tmp_path: Path) -> None:
    ledger = Counted(f"sqlite:///{tmp_path / 'ledger.db'}")
    await ledger.migrate()
    rates = Rates(ledger, {REQUESTS: 5}, 0, 100)
    caller = Caller("key_1", 1, "", frozenset(), None)
    found = await asyncio.gather(*(rates.enter(caller, None) for _ in range(8)), return_exceptions=True)
    assert ledger.reads == 1
    assert [type(each) for each in found] == [type(None)] * 5 + [OverQuota] * 3
    await ledger.close()


async def test_a_read_that_fails_fails_all_who_waited_and_the_next_call_reads_again(tmp_path: Path) -> None:
    ledger = Counted(f"sqlite:///{tmp_path / 'ledger.db'}")
    rates = Rates(ledger, {}, 0, 100)
    caller = Caller("key_1", 1, "", frozenset(), None)
    found = await asyncio.gather(*(rates.enter(caller, None) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(each, Exception) for each in found), "there is no table yet"
    assert ledger.reads == 1
    await ledger.migrate()
    await rates.enter(caller, None)
    assert ledger.reads == 2
    await ledger.close()
