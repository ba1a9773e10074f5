"""A ledger, a NATS server and an intake for the tests: all real, all small."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from intake_world import PROGRAMS

from coordinator.intake.nats_server import EmbeddedNats
from coordinator.intake.service import Intake
from coordinator.ledger.store import Ledger
from coordinator.settings import Settings


@pytest_asyncio.fixture
async def ledger(ledger_url: str) -> AsyncIterator[Ledger]:
    """A fresh ledger."""
    made = Ledger(ledger_url)
    yield made
    await made.close()


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedNats]:
    """A real nats-server, kept alive."""
    made = EmbeddedNats(tmp_path)
    await made.start()
    supervising = asyncio.create_task(made.run())
    yield made
    await made.stop()
    await supervising


MakeIntake = Callable[[], Intake]


@pytest.fixture
def make_intake(ledger: Ledger, server: EmbeddedNats, tmp_path: Path) -> MakeIntake:
    """Makes an intake over the ledger and the server; threads in place of worker processes, to start fast."""

    def make() -> Intake:
        return Intake(ledger, Settings(home=tmp_path), server.url, workers=0, programs=PROGRAMS)

    return make


@pytest_asyncio.fixture
async def intake(make_intake: MakeIntake) -> AsyncIterator[Intake]:
    """A running intake."""
    made = make_intake()
    running = asyncio.create_task(made.run())
    yield made
    await made.stop()
    await running
