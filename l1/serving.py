"""What a node does around its chain: answer JSON-RPC, run what makes blocks, say where it is, and stop on a signal."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol

from aiohttp import web

NODE_FILE: Final = "node.json"
"""In the data folder while the node runs: what it announced."""
SHUTDOWN_SECONDS: Final = 5
"""Requests that are under way when the node stops have so long."""


class Server(Protocol):
    """What `run_until_stopped` runs."""

    async def __aenter__(self) -> Server:
        """Start. Raises when it cannot."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop cleanly."""

    async def wait(self) -> None:
        """Wait for it to fail. Raises what stopped it."""

    def announcement(self) -> dict[str, Any]:
        """Where it answers, and what it is, as JSON."""


class Work:
    """A node's JSON-RPC and the task that makes or follows blocks."""

    def __init__(self) -> None:
        self._runner: web.AppRunner | None = None
        self._task: asyncio.Task[None] | None = None

    async def serve(self, application: web.Application, host: str, port: int) -> str:
        """Answer JSON-RPC; the URL. Raises OSError when the port cannot be opened."""
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        return f"http://{host}:{self._runner.addresses[0][1]}"

    def begin(self, blocks: Coroutine[Any, Any, None]) -> None:
        """Run what makes or follows blocks."""
        self._task = asyncio.create_task(blocks)

    async def wait(self) -> None:
        """Wait for the task to fail; it never ends by itself. Raises what stopped it."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def end(self) -> None:
        """Close the port, then end the task; what it failed with is `wait`'s to raise."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._task is not None and not self._task.done():
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task


def _stop_signal() -> asyncio.Event:
    """Set by SIGTERM and SIGINT, from then on and whoever waited for them before."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def until_stopped(work: Coroutine[Any, Any, None]) -> bool:
    """Do what comes before a server runs; whether it was done before SIGTERM or SIGINT came. Raises what it raises."""
    stop = _stop_signal()
    doing, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not doing.done():
        doing.cancel()
        with suppress(asyncio.CancelledError):
            await doing
        return False
    doing.result()
    return True


async def run_until_stopped(server: Server, folder: Path) -> None:
    """Run until SIGTERM or SIGINT, or until the server fails. It is announced on stdout and in `node.json`.

    Raises
    ------
    OSError
        When `node.json` cannot be written.
    Exception
        What the server raises when it starts, or what stopped it.
    """
    stop = _stop_signal()
    announced = folder / NODE_FILE
    async with server:
        ready = json.dumps(server.announcement()) + "\n"
        write_whole(announced, ready)
        try:
            sys.stdout.write(ready)
            sys.stdout.flush()
            stopping, failing = asyncio.create_task(stop.wait()), asyncio.create_task(server.wait())
            done, _ = await asyncio.wait({stopping, failing}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            failing.cancel()
            if failing in done:
                failing.result()
        finally:
            announced.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """A reader sees the old file or the new one, never half of it."""
    fresh = path.with_suffix(".tmp")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
