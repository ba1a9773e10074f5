"""Clients that send a request byte by byte to hold a connection ("slowloris") are let go.

aiohttp closes a connection that is idle after an answer; it waits for the first request on one, and for the rest of a
form, as long as the client likes.
"""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from verifier.errors import InvalidInput

log = structlog.get_logger(__name__)

HEAD_SECONDS = 10.0
"""How long a new connection has for the head of its first request."""
FORM_SECONDS = 10.0
"""How long a form has to come in whole."""
LOOK_SECONDS = 1.0


class FirstRequests:
    """Closes connections on which no whole request head came in time."""

    def __init__(self, head_seconds: float = HEAD_SECONDS) -> None:
        self._head_seconds = head_seconds
        self._silent_since: dict[Any, float] = {}
        self._heard: set[Any] = set()
        self._task: asyncio.Task[None] | None = None

    @property
    def middleware(self) -> Any:
        """Notes that a connection has sent a request."""

        @web.middleware
        async def hear(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._heard.add(request.protocol)
            return await handler(request)

        return hear

    def start(self, server: web.Server) -> None:
        """Look after the server's connections until `stop`."""
        self._task = asyncio.create_task(self._look_after(server), name="explorer-slow-clients")

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _look_after(self, server: web.Server) -> None:
        while True:
            self.look(server.connections, asyncio.get_running_loop().time())
            await asyncio.sleep(min(LOOK_SECONDS, self._head_seconds / 4))

    def look(self, connections: list[Any], now: float) -> None:
        """Close those that are silent for too long. `now` is in seconds, of any steady clock."""
        self._heard.intersection_update(connections)
        silent = [connection for connection in connections if connection not in self._heard]
        self._silent_since = {connection: self._silent_since.get(connection, now) for connection in silent}
        late = [each for each, since in self._silent_since.items() if now - since >= self._head_seconds]
        for connection in late:
            connection.force_close()
        if late:
            log.warning("explorer_slow_clients_closed", connections=len(late))


async def read_form(request: web.Request, seconds: float = FORM_SECONDS) -> None:
    """Read the form, which later readers find read. Raises InvalidInput (W3B-7008) when it does not come in time."""
    try:
        async with asyncio.timeout(seconds):
            await request.post()
    except TimeoutError as error:
        raise InvalidInput("W3B-7008", f"the form did not come in whole within {seconds:g} s") from error
