"""The room, put together: what a service starts last and stops first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from coordinator.api.surroundings import ComponentStatus
from coordinator.explorer.chain_view import ChainView
from coordinator.ledger.store import Ledger
from coordinator.observability.exposition import Exposition, StreamOf
from coordinator.observability.lookout import Look, Lookout
from coordinator.observability.loop_lag import LoopLag
from coordinator.observability.server import MetricsServer
from coordinator.observability.spans import exporter_at, start_tracing, stop_tracing
from coordinator.observability.task_traces import TaskTraces
from coordinator.settings import Settings
from coordinator.settlement.chain import Chain
from coordinator.settlement.finality import Finality

log = structlog.get_logger(__name__)

LOOK_SECONDS = 2.0
"""How often gRPC health follows what `/readyz` would say."""
READY = "ready"
"""The component of the status that says what stands in the way."""


class Watching:
    """Metrics, health and traces of one coordinator.

    Parameters: as `Lookout` and `Exposition` have them; `set_health` tells the gRPC health service. Without
    `settings.metrics` nothing listens, but gRPC health and the status follow the same checks.
    """

    def __init__(
        self,
        ledger: Ledger,
        settings: Settings,
        *,
        me: str,
        leads: Callable[[], bool],
        chain: Chain,
        finality: Finality,
        account: str,
        nats_url: str,
        stream_of: StreamOf,
        set_health: Callable[[Mapping[str, bool]], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._me = me
        self._set_health = set_health
        view = ChainView(chain, finality)
        self.lookout = Lookout(ledger, settings, me=me, chain=chain, view=view, account=account, nats_url=nats_url)
        """What `/readyz` is made of."""
        lag = LoopLag()
        exposition = Exposition(
            ledger, self.lookout, lag, leads=leads, stream_of=stream_of, by_project=settings.metrics_projects
        )
        self.server = MetricsServer(settings, exposition, self.lookout, lag)
        """The HTTP door; its `url` is empty where the settings switch it off."""
        self._ledger = ledger
        self._leads = leads
        self._traces: TaskTraces | None = None
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Serve, follow, and trace where the settings name a collector. Raises OSError when the port is taken."""
        if self._settings.metrics:
            await self.server.start()
        if self._settings.otlp_endpoint:
            start_tracing(exporter_at(self._settings.otlp_endpoint), self._me)
            exporter = exporter_at(self._settings.otlp_endpoint)
            self._traces = TaskTraces(self._ledger, exporter, self._settings.home, self._me, self._leads)
            self._traces.start()
        self._following = asyncio.create_task(self._follow(), name="health")

    async def stop(self) -> None:
        """End everything; spans that are ready are sent."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await self.server.stop()
        if self._traces is not None:
            await self._traces.stop()
            await asyncio.to_thread(stop_tracing)

    async def components(self) -> Sequence[ComponentStatus]:
        """For the status: whether work gets done, and what stands in its way."""
        look = await self.lookout.look()
        return [ComponentStatus(READY, look.ready, look.problems(), self.server.url)]

    async def _follow(self) -> None:
        before: dict[str, bool] = {}
        while True:
            look = await self.lookout.look()
            now = serving(look)
            if now != before:
                log.log(20 if look.ready else 30, "readiness_changed", ready=look.ready, problems=look.problems())
                await self._set_health(now)
                before = now
            await asyncio.sleep(LOOK_SECONDS)


def serving(look: Look) -> dict[str, bool]:
    """Names of the gRPC health service: the empty one for the whole, and `w3bstream.<check>`."""
    return {"": look.ready} | {f"w3bstream.{check.name}": check.ok for check in look.checks}
