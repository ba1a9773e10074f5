"""A world with its chain double for each test, and one Ray for all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from dispatch_world import Chain, Service, World, background

from coordinator.dispatch.ray_runtime import start_ray, stop_ray


@pytest.fixture
async def world(tmp_path: Path, ledger_url: str) -> AsyncIterator[World]:
    made = World(tmp_path, ledger_url=ledger_url)
    await made.create()
    await made.project()
    yield made
    await made.ledger.close()


@pytest.fixture
async def chain(world: World) -> AsyncIterator[Chain]:
    made = Chain(world.ledger)
    async with background(made.run()):
        yield made


@pytest.fixture
async def service(world: World, chain: Chain) -> AsyncIterator[Service]:
    async with AsyncExitStack() as stack:
        yield Service(world, stack)


@pytest.fixture(scope="session")
def local_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One local Ray with room for eight workers of the test kind; yields the home folder that holds its token."""
    home = tmp_path_factory.mktemp("ray-home")
    start_ray(home, {"test.hash": 8})
    yield home
    stop_ray()
