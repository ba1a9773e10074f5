"""A coordinator process of its own: `python dispatch_process.py HOME TASKS LEDGER_URL` creates the ledger and has the
tasks proven."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from dispatch_world import Chain, World, background

from coordinator.dispatch.inline_pool import InlinePool


async def main(home: Path, tasks: int, ledger_url: str) -> None:
    world = World(home, ledger_url=ledger_url)
    await world.create()
    await world.project()
    for _ in range(tasks):
        print(await world.task(), flush=True)
    async with background(Chain(world.ledger).run()):
        await world.dispatcher(InlinePool()).run()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
