"""The HTTP door of `/metrics`, `/healthz` and `/readyz`: a port of its own, for the machines that watch."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import structlog
from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from coordinator.observability.exposition import Exposition
from coordinator.observability.lookout import Lookout
from coordinator.observability.loop_lag import LoopLag
from coordinator.settings import Settings, is_loopback_host

log = structlog.get_logger(__name__)

ADDRESS_FILE = "metrics.json"
MAX_BODY = 1024


class MetricsServer:
    """Serves one coordinator's metrics and health; `url` says where once it started."""

    def __init__(self, settings: Settings, exposition: Exposition, lookout: Lookout, lag: LoopLag) -> None:
        self._settings = settings
        self._exposition = exposition
        self._lookout = lookout
        self._lag = lag
        self._runner: web.AppRunner | None = None
        self._measuring: asyncio.Task[None] | None = None
        self.url = ""
        """Where it listens, without a slash at the end."""

    @property
    def address_file(self) -> Path:
        """`<home>/metrics.json`: {"url": …}."""
        return self._settings.home / ADDRESS_FILE

    async def start(self) -> str:
        """Listen and serve; returns the URL. Raises OSError when the address cannot be had."""
        host = self._settings.metrics_host
        if not is_loopback_host(host):
            log.warning("metrics_beyond_loopback", host=host, advice="keep strangers away by the network")
        await self._exposition.begin()
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._alive)
        app.router.add_get("/readyz", self._ready)
        runner = web.AppRunner(app, access_log=None, max_line_size=4096, max_field_size=8190)
        await runner.setup()
        self._runner = runner
        site = web.TCPSite(runner, host, self._settings.metrics_port)
        await site.start()
        port = runner.addresses[0][1]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._measuring = asyncio.create_task(self._lag.run(), name="loop-lag")
        await asyncio.to_thread(self._write_address)
        log.info("metrics_started", url=self.url)
        return self.url

    async def stop(self) -> None:
        """Take no more requests."""
        if self._measuring is not None:
            self._measuring.cancel()
            await asyncio.gather(self._measuring, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()
            await asyncio.to_thread(self._remove_address)

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=await self._exposition.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _alive(self, request: web.Request) -> web.Response:
        """That this answers says it: the process lives and its loop turns. It looks at nothing else, for a restart
        mends nothing else."""
        return web.json_response({"ok": True, "loop_lag_seconds": round(self._lag.worst, 3)})

    async def _ready(self, request: web.Request) -> web.Response:
        look = await self._lookout.look()
        told = {"ready": look.ready, "checks": [check.as_json() for check in look.checks]}
        return web.json_response(told, status=200 if look.ready else 503)

    def _text(self) -> str:
        return json.dumps({"url": self.url}) + "\n"

    def _write_address(self) -> None:
        draft = self.address_file.with_suffix(".new")
        draft.write_text(self._text())
        draft.replace(self.address_file)

    def _remove_address(self) -> None:
        """Remove the file unless it is another server's by now."""
        if self.address_file.is_file() and self.address_file.read_text() == self._text():
            self.address_file.unlink()
