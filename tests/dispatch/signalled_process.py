"""Starts Ray as the service does, and takes longer to end after SIGTERM than Ray's alarm allows. Argument: its home."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from coordinator.dispatch.ray_runtime import start_ray, stop_ray
from coordinator.service.service import end_at_signals

ALARM_SECONDS = 3
"""What Ray's handler of SIGTERM gives the process."""


async def main(home: Path) -> None:
    ending = end_at_signals()
    await asyncio.to_thread(start_ray, home, {"test.hash": 1})
    print("started", flush=True)  # SIGTERM is still Ray's: nobody took it back
    await ending.wait()
    await asyncio.sleep(ALARM_SECONDS + 1)  # the orderly end
    await asyncio.to_thread(stop_ray)


asyncio.run(main(Path(sys.argv[1])))
