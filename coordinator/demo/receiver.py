"""The dApp owner's side of the demo: an HTTP server on loopback that verifies each webhook it is sent."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from coordinator.webhooks.receiver import verify
from verifier.errors import Refused


class WebhookReceiver:
    """Listens on 127.0.0.1; `events` grows by each message that verifies, once for each webhook-id."""

    def __init__(self) -> None:
        self.secret = ""
        """The endpoint's `whsec_…`; until it is set every message is answered 503 and comes again."""
        self.events: dict[str, dict[str, Any]] = {}
        """Verified events by webhook-id."""
        self.refused = 0
        """Messages whose signature did not verify."""
        self.url = ""
        """Where it listens."""
        self._arrived = asyncio.Condition()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        application = web.Application(client_max_size=1 << 20)
        application.router.add_post("/results", self._receive)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/results"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _receive(self, request: web.Request) -> web.Response:
        if not self.secret:
            return web.Response(status=503)
        try:
            event = verify(request.headers, await request.read(), self.secret)
        except Refused:
            self.refused += 1
            return web.Response(status=401)
        async with self._arrived:
            self.events[request.headers["webhook-id"]] = event
            self._arrived.notify_all()
        return web.Response(status=204)

    async def wait_for(self, number: int, seconds: float) -> None:
        """Wait until `number` different messages were verified, or `seconds` passed."""
        try:
            async with asyncio.timeout(seconds), self._arrived:
                await self._arrived.wait_for(lambda: len(self.events) >= number)
        except TimeoutError:
            return
