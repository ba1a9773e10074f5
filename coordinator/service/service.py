"""The wiring: which part gets what, in which order they start and stop."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from coordinator.api.auth import KEY_FILE, bootstrap_admin_key
from coordinator.api.program_outputs import manifest_outputs
from coordinator.api.server import ApiServer
from coordinator.api.surroundings import ComponentStatus
from coordinator.api.tls import require_safe, server_credentials
from coordinator.dispatch.dispatcher import Dispatcher
from coordinator.dispatch.pool import ProverPool
from coordinator.dispatch.ray_pool import RayPool
from coordinator.intake.nats_server import EmbeddedNats
from coordinator.intake.service import Intake
from coordinator.ledger.store import Ledger
from coordinator.projects.file import ProjectFile
from coordinator.service.embedded_chain import EmbeddedChain
from coordinator.service.logs import configure_logs
from coordinator.service.preparation import Preparation, ReadyProgram
from coordinator.service.supervision import Supervised
from coordinator.settings import Settings
from coordinator.settlement.chain import JsonRpcChain
from coordinator.settlement.deployment import ensure_deployment
from coordinator.settlement.finality import SINGLE_PRODUCER, finality_of
from coordinator.settlement.service import Settlement
from coordinator.settlement.signer import KeyFileSigner
from coordinator.webhooks.event import Site
from coordinator.webhooks.sender import WebhookSender
from coordinator.webhooks.ssrf import GuardedClient, UrlPolicy
from coordinator.webhooks.task_events import TaskEvents
from provers.protocol import installed_provers
from verifier.bindings import Deployment
from verifier.errors import Unavailable
from verifier.statement import Domain

log = structlog.get_logger(__name__)

Preparing = Callable[[str, str, float], None]
LOCK_FILE = "service.lock"


class _Lock:
    """One service at a time in a home folder."""

    def __init__(self, home: Path) -> None:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._handle = os.open(home / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._handle)
            raise Unavailable("W3B-8001", f"another service runs in {home}", field="home") from error

    def release(self) -> None:
        os.close(self._handle)


class Service:
    """One installation, running; it is the API's `Installation`.

    Parameters: `on_preparing` hears of the programs' set-up, from another thread.
    """

    def __init__(self, settings: Settings, *, on_preparing: Preparing | None = None) -> None:
        self.settings = settings
        """What the operator set."""
        self.ledger = Ledger(settings.ledger)
        """The database of record."""
        self.target = ""
        """Where the API listens, `host:port`, or `https://host:port` with TLS."""
        self.chain_rpc_url = settings.chain_rpc_url
        """URL of the chain's JSON-RPC."""
        self.pool: ProverPool
        """The prover workers."""
        self.deployment: Deployment
        """Where the contracts are."""
        self._on_preparing = on_preparing
        self._parts: list[Supervised] = []
        self._closing = contextlib.AsyncExitStack()
        self._preparing: asyncio.Task[None] | None = None

    @property
    def owner(self) -> bytes:
        """The coordinator's account, which owns projects on chain, 20 bytes."""
        return bytes.fromhex(self._signer.address.removeprefix("0x"))

    def admin_key(self) -> str:
        """The first admin key, as its file holds it."""
        return (self.settings.home / KEY_FILE).read_text().strip()

    async def start(self) -> None:
        """Start every part; the API answers when this returns, while Ray and the programs' keys are still coming up.

        Raises Unavailable (W3B-8001, W3B-8002, W3B-5001), Conflict (W3B-5004) and InvalidInput (W3B-5010, a chain that
        does not say what is final; W3B-7016, W3B-7019, TLS); what was started is stopped again.
        """
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        home = self.settings.home
        # Before anything starts: settings that cannot be served are refused in a moment.
        self._tls = server_credentials(self.settings)
        require_safe(self.settings, tls=self._tls is not None)
        self._closing.callback(_Lock(home).release)
        # Every process of ours, Ray's workers too, must find the same home.
        os.environ["W3BSTREAM_HOME"] = str(home)
        await self.ledger.migrate()
        self._closing.push_async_callback(self.ledger.close)
        await bootstrap_admin_key(self.ledger, home)
        self._signer = KeyFileSigner.at(home / "keys" / "coordinator.json")
        await self._start_chain()
        nats_url = await self._start_nats()
        self._provers = installed_provers()
        self._preparation = Preparation(self.ledger, self.deployment, self._provers, self._on_preparing)
        self._preparing = asyncio.create_task(self._preparation.all(), name="preparation")
        self._start_settlement()
        self._start_intake(nats_url)
        self._start_dispatch()
        self._start_webhooks()
        await self._start_api()
        log.info("service_started", target=self.target, chain=self.chain_rpc_url)

    async def _start_chain(self) -> None:
        self._embedded_chain: EmbeddedChain | None = None
        if not self.settings.chain_rpc_url:
            node = EmbeddedChain(self.settings.home, self._signer.address, self.settings.finality_depth)
            node.start()
            self._closing.push_async_callback(node.end)
            self._keep("chain", node.run, node.stop)
            self._embedded_chain = node
            self.chain_rpc_url = node.rpc_url
        self._chain = JsonRpcChain(self.chain_rpc_url)
        self._closing.push_async_callback(self._chain.close)
        if self._embedded_chain is not None:
            self._finality = SINGLE_PRODUCER
        else:
            self._finality = await finality_of(self._chain, self.settings.finality_depth)
        self.deployment = await ensure_deployment(self.ledger, self._chain, self._signer, finality=self._finality)

    async def _start_nats(self) -> str:
        self._nats: EmbeddedNats | None = None
        if self.settings.nats_url:
            return self.settings.nats_url
        self._nats = EmbeddedNats(self.settings.home)
        await self._nats.start()
        self._keep("nats", self._nats.run, self._nats.stop)
        return self._nats.url

    def _start_settlement(self) -> None:
        self._tell = TaskEvents(Site(self.deployment.chain_id, self.deployment.router), manifest_outputs)
        self._settlement = Settlement(
            self.ledger,
            self._chain,
            self._signer,
            self.deployment,
            finality=self._finality,
            tell=self._tell,
        )
        self._keep("settlement", self._settlement.run, self._settlement.stop)

    def _start_intake(self, nats_url: str) -> None:
        self._intake = Intake(self.ledger, self.settings, nats_url)
        self._keep("intake", self._intake.run, self._intake.stop)

    def _start_dispatch(self) -> None:
        kinds = Counter(program.kind for program in self._preparation.programs.values())
        capacity = {kind: self.settings.provers for kind in kinds if kind in self._provers}
        self.pool = RayPool(self.settings.home, capacity, address=self.settings.ray_address)
        domain = Domain(self.deployment.chain_id, self.deployment.router_bytes())
        self._dispatcher = Dispatcher(
            self.ledger, self.pool, self.settings, domain, self._provers, on_task_ended=self._tell
        )
        self._keep("dispatch", self._dispatcher.run, self._dispatcher.stop)

    def _start_webhooks(self) -> None:
        guard = GuardedClient(UrlPolicy(allow_loopback=self.settings.loopback_webhooks))
        sender = WebhookSender(self.ledger, guard, cap=self.settings.webhook_cap)
        self._keep("webhooks", sender.run, sender.stop)

    async def _start_api(self) -> None:
        api = ApiServer(self.ledger, self.settings, intake=self._intake, installation=self, tls=self._tls)
        await api.start()
        self._closing.push_async_callback(api.stop)
        self.target = api.target

    def _keep(
        self, name: str, run: Callable[[], Coroutine[Any, Any, None]], stop: Callable[[], Awaitable[None] | None]
    ) -> None:
        """Run a part supervised. On the way down it is told to stop, then waited for."""
        part = Supervised(name, run)
        self._parts.append(part)
        self._closing.push_async_callback(part.end)

        async def tell() -> None:
            told = stop()
            if told is not None:
                await told

        self._closing.push_async_callback(tell)
        part.start()

    async def prepared(self) -> None:
        """Wait until every installed program is ready. Raises what preparing raised (W3B-4xxx)."""
        if self._preparing is not None:
            await self._preparing

    async def prepare(self, file: ProjectFile) -> Mapping[str, ReadyProgram]:
        """A project file's programs by kind, ready and on their way to their on-chain verifiers."""
        return await self._preparation.of(file)

    async def components(self) -> Sequence[ComponentStatus]:
        """How each part stands now."""
        workers = self.pool.workers()
        ready = sum(worker.ready for worker in workers)
        wanted = len(self._dispatcher.specs)
        starting = "" if workers else ", Ray is starting"
        settling = self._settlement
        parts = {part.name: part.error for part in self._parts}
        chain_at = self.chain_rpc_url if self._embedded_chain else "the RPC of the settings"
        nats_at = "embedded, on loopback" if self._nats else "the URL of the settings"
        return [
            ComponentStatus("ledger", True, self.ledger.engine.dialect.name),
            ComponentStatus("nats", not parts.get("nats"), parts.get("nats") or nats_at),
            ComponentStatus("chain", settling.healthy and not parts.get("chain"), settling.last_error, chain_at),
            ComponentStatus("ray", ready == wanted, f"{ready} of {wanted} workers ready{starting}"),
            *[
                ComponentStatus(name, not parts[name], parts[name])
                for name in ("intake", "dispatch", "settlement", "webhooks")
            ],
        ]

    async def stop(self) -> None:
        """Stop in the opposite order: the API first, the ledger last."""
        if self._preparing is not None:
            self._preparing.cancel()
            await asyncio.gather(self._preparing, return_exceptions=True)
        await self._closing.aclose()
        log.info("service_stopped")


async def _serve(settings: Settings) -> None:
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    service = Service(settings)
    starting = asyncio.create_task(service.start())
    waiting = asyncio.create_task(ending.wait())
    await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        waiting.cancel()
        return
    if (failed := starting.exception()) is not None:  # what was started is stopped again already
        waiting.cancel()
        raise failed
    try:
        sys.stdout.write(
            f"The API listens on {service.target}; the first admin key is in {settings.home / KEY_FILE}.\n"
            f"Logs: {settings.home / 'logs' / 'service.log'}. Ctrl-C ends the service.\n"
        )
        sys.stdout.flush()
        await waiting
    finally:
        waiting.cancel()
        sys.stdout.write("Stopping…\n")
        sys.stdout.flush()
        await service.stop()
        sys.stdout.write("Stopped; start again with `w3bstream up`.\n")


def run_service(settings: Settings) -> None:
    """Run the service until SIGTERM or SIGINT. Raises what `Service.start` raises."""
    configure_logs(settings.home)
    asyncio.run(_serve(settings))
