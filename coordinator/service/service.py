"""The wiring: which part gets what, in which order they start and stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence

import structlog

from coordinator.api.auth import KEY_FILE, bootstrap_admin_key
from coordinator.api.server import ApiServer
from coordinator.api.surroundings import ComponentStatus
from coordinator.api.tls import require_safe, server_credentials
from coordinator.dispatch.identity import load_home_id
from coordinator.explorer.chain_view import ChainView
from coordinator.explorer.server import ExplorerServer
from coordinator.intake.nats_server import EmbeddedNats
from coordinator.intake.service import Intake
from coordinator.ledger.control_tables import CoordinatorRow
from coordinator.ledger.coordinators import deployed, require_account
from coordinator.ledger.store import Ledger
from coordinator.observability.watching import Watching
from coordinator.projects.file import ProjectFile
from coordinator.reconcile.chain_checks import ChainSide
from coordinator.reconcile.reconciler import Reconciler
from coordinator.service.embedded_chain import EmbeddedChain
from coordinator.service.home import Lock, locks_of
from coordinator.service.leading import Leading
from coordinator.service.logs import configure_logs
from coordinator.service.loops import IntakeDoor, Loops, Parts, standing_by
from coordinator.service.notify import tell_systemd
from coordinator.service.preparation import Preparation, ReadyProgram, simulated_anchors, wanted_provers
from coordinator.settings import Settings
from coordinator.settlement.anchors import refuse_simulated
from coordinator.settlement.deployment import ensure_deployment
from coordinator.settlement.finality import Finality, finality_of
from coordinator.settlement.many_chains import chain_at, problems, rpc_urls
from coordinator.settlement.signer import KeyFileSigner
from coordinator.settlement.tee_contracts import TeeContracts
from verifier.bindings import Deployment
from verifier.errors import W3bstreamError

log = structlog.get_logger(__name__)

Preparing = Callable[[str, str, float], None]
LOOK_SECONDS = 0.5
HAND_OVER_SECONDS = 90.0
"""How long the loops may take to end before they are broken off."""
SWITCH_SECONDS = 0.0005
"""How long a thread waits for the interpreter before it asks for it. The ledger's thread gives it up at each step of a
statement; with Python's 5 ms it would wait as long each time that the event loop is busy."""


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
        self.watching: Watching | None = None
        """Metrics, health and traces; None while they are not up."""
        self.explorer: ExplorerServer | None = None
        """The explorer; None while it is not up, or where the settings switch it off."""
        self.chain_rpc_url = next(iter(rpc_urls(settings.chain_rpc_url)), "")
        """URL of the chain's JSON-RPC."""
        self.deployment: Deployment
        """Where the contracts are."""
        self._on_preparing = on_preparing
        self._closing = contextlib.AsyncExitStack()
        self._parts = Parts(self._closing)
        self._loops: Loops | None = None
        self._deployed: asyncio.Future[Deployment] = asyncio.get_running_loop().create_future()
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

        Raises Unavailable (W3B-8001, W3B-8002, W3B-5001; W3B-3021, W3B-3022, a ledger that cannot be reached), Conflict
        (W3B-5004; W3B-8011, W3B-8012, it cannot share the ledger) and InvalidInput (W3B-5010, a chain that does not say
        what is final; W3B-7016, W3B-7019, TLS); what was started is stopped again.
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
        self._provers = wanted_provers(self.settings)
        for path in locks_of(home, self.settings.ledger):
            self._closing.callback(Lock(path).release)
        # Every process of ours, Ray's workers too, must find the same home.
        os.environ["W3BSTREAM_HOME"] = str(home)
        self._closing.push_async_callback(self.ledger.close)
        await self.ledger.migrate()
        await self._join()
        await bootstrap_admin_key(self.ledger, home)
        self._signer = KeyFileSigner.at(home / "keys" / "coordinator.json")
        await self._start_chain()
        self._nats_url = await self._start_nats()
        self._door = IntakeDoor(Intake(self.ledger, self.settings, self._nats_url, workers=0), lambda: self._loops)
        self._closing.push_async_callback(self._door.close)
        self._parts.start("leading", self._leading.run, self._leading.stop, HAND_OVER_SECONDS)
        self.deployment = await self._deployment()
        tee = TeeContracts(
            self.ledger,
            self._chain,
            self.deployment,
            member=self._signer.address,
            anchors=simulated_anchors(self.settings.home),
        )
        self._preparation = Preparation(self.ledger, self.deployment, self._provers, tee, self._on_preparing)
        self._preparing = asyncio.create_task(self._preparation.all(), name="preparation")
        await self._start_api()
        await self._start_explorer()
        await self._start_watching()
        await self._leading.announce(self.target)
        log.info("service_started", target=self.target, coordinator=self._me.id)

    async def _join(self) -> None:
        settings = self.settings
        wanted = {"nats": settings.nats_url, "chain": settings.chain_rpc_url}
        self._me = CoordinatorRow(
            id=f"co_{secrets.token_hex(6)}",
            host=f"{socket.gethostname()}:{os.getpid()}",
            home=load_home_id(settings.home),
            embedded=", ".join(name for name, url in wanted.items() if not url),
            started_at=0,
            heartbeat_at=0,
        )
        self._leading = Leading(self.ledger, self._me, settings.leader_seconds, self._lead)
        await self._leading.join()

    async def _start_chain(self) -> None:
        self._embedded_chain: EmbeddedChain | None = None
        if not self.settings.chain_rpc_url:
            delegates, depth = self.settings.chain_delegates, self.settings.finality_depth
            node = EmbeddedChain(self.settings.home, self._signer.address, depth, delegates)
            node.start()
            self._closing.push_async_callback(node.end)
            self._parts.start("chain", node.run, node.stop)
            self._embedded_chain = node
            self.chain_rpc_url = node.rpc_url
        urls = self.settings.chain_rpc_url or self.chain_rpc_url
        self._chain = chain_at(urls, self.settings.chain_rpc_seconds)
        self._closing.push_async_callback(self._chain.close)
        if self._embedded_chain is not None:
            self._finality = Finality(self._embedded_chain.finality_source)
        else:
            depth, safe_depth = self.settings.finality_depth, self.settings.safe_depth
            self._finality = await finality_of(self._chain, depth, safe_depth)

    async def _start_nats(self) -> str:
        self._nats: EmbeddedNats | None = None
        if self.settings.nats_url:
            return self.settings.nats_url
        self._nats = EmbeddedNats(self.settings.home)
        await self._nats.start()
        self._parts.start("nats", self._nats.run, self._nats.stop)
        return self._nats.url

    async def _deployment(self) -> Deployment:
        """The contracts, once the leader, whoever that is, has them on the chain."""
        while not self._deployed.done():
            await asyncio.wait({self._deployed}, timeout=LOOK_SECONDS)
            if not self._leading.leads and await deployed(self.ledger):
                return await self._agree(self.ledger)
        return self._deployed.result()

    async def _agree(self, ledger: Ledger) -> Deployment:
        """The ledger's contracts, deployed where they are not yet, which this coordinator's account owns."""
        deployment = await ensure_deployment(
            ledger, self._chain, self._signer, finality=self._finality, production=self.settings.production
        )
        await require_account(ledger, deployment.chain_id, self._signer.address)
        return deployment

    async def _lead(self, ledger: Ledger, ending: asyncio.Event) -> None:
        """The leader's work, until `ending`."""
        deployment = await self._agreed_before(ending, ledger)
        if deployment is None:
            return
        settings = self.settings
        if ledger.shared and not settings.prover_name:
            settings = settings.model_copy(update={"prover_name": self._me.home})
        self._loops = Loops(
            ledger,
            settings,
            nats_url=self._nats_url,
            chain=self._chain,
            signer=self._signer,
            deployment=deployment,
            finality=self._finality,
            provers=self._provers,
        )
        try:
            await ending.wait()
        finally:
            loops, self._loops = self._loops, None
            await loops.end()

    async def _agreed_before(self, ending: asyncio.Event, ledger: Ledger) -> Deployment | None:
        """The contracts; None when the work is to end before, or when the first start fails with what was wrong."""
        agreeing = asyncio.create_task(self._agree(ledger))
        told = asyncio.create_task(ending.wait())
        try:
            await asyncio.wait({agreeing, told}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            told.cancel()
            if not agreeing.done():
                agreeing.cancel()
                await asyncio.gather(agreeing, return_exceptions=True)
        if agreeing.cancelled():
            return None
        error = agreeing.exception()
        lost = isinstance(error, W3bstreamError) and error.code == "W3B-8010"
        if error is not None and not self._deployed.done() and not lost:
            self._deployed.set_exception(error)
            return None
        deployment = agreeing.result()
        if not self._deployed.done():
            self._deployed.set_result(deployment)
        return deployment

    async def _start_api(self) -> None:
        side = ChainSide(self._chain, self.deployment, self._signer.address)
        api = ApiServer(
            self.ledger,
            self.settings,
            intake=self._door,
            installation=self,
            tls=self._tls,
            reconciler=Reconciler(self.ledger, stream_of=self._door.stream, chain=side),
        )
        await api.start()
        self._api = api
        self._closing.push_async_callback(api.stop)
        self.target = api.target

    async def _start_explorer(self) -> None:
        if not self.settings.explorer:
            return
        explorer = ExplorerServer(
            self.ledger,
            self.settings,
            chain=ChainView(self._chain, self._finality),
            components=self.components,
            deployment=self.deployment,
        )
        await explorer.start()
        self._closing.push_async_callback(explorer.stop)
        self.explorer = explorer

    async def _start_watching(self) -> None:
        self.watching = Watching(
            self.ledger,
            self.settings,
            me=self._me.id,
            leads=lambda: self._leading.leads,
            chain=self._chain,
            finality=self._finality,
            account=self._signer.address,
            nats_url=self._nats_url,
            stream_of=self._door.stream,
            set_health=self._api.set_health,
        )
        self._closing.push_async_callback(self.watching.stop)
        await self.watching.start()

    async def prepared(self) -> None:
        """Wait until every installed program is ready. Raises what preparing raised (W3B-4xxx)."""
        if self._preparing is not None:
            await self._preparing

    async def prepare(self, file: ProjectFile) -> Mapping[str, ReadyProgram]:
        """A project file's programs by kind, ready and on their way to their on-chain verifiers. Raises Refused
        (W3B-2009) on a production installation for a verifier with a simulated trust anchor."""
        ready = await self._preparation.of(file)
        if self.deployment.production:
            verifiers = {kind: program.verifier for kind, program in ready.items()}
            await refuse_simulated(self._chain, self._signer.address, verifiers)
        return ready

    async def components(self) -> Sequence[ComponentStatus]:
        """How each part stands now."""
        errors = self._parts.errors()
        loops = self._loops
        settling = loops.settlement if loops else None
        chain_at = self.chain_rpc_url if self._embedded_chain else "the RPC of the settings"
        nats_at = "embedded, on loopback" if self._nats else "the URL of the settings"
        chain_healthy = settling is None or settling.healthy
        reasons = [settling.last_error if settling else "", *problems(self._chain)]
        chain_error = "; ".join(each for each in reasons if each)
        return [
            await self._leading.component(),
            ComponentStatus("ledger", True, self.ledger.engine.dialect.name),
            ComponentStatus("nats", not errors.get("nats"), errors.get("nats") or nats_at),
            ComponentStatus("chain", chain_healthy and not errors.get("chain"), chain_error, chain_at),
            *(loops.components() if loops else standing_by()),
            *(await self.watching.components() if self.watching else ()),
        ]

    async def stop(self) -> None:
        """Stop in the opposite order: the API first, the ledger last."""
        if self._preparing is not None:
            self._preparing.cancel()
            await asyncio.gather(self._preparing, return_exceptions=True)
        await self._closing.aclose()
        log.info("service_stopped")


def end_at_signals() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set, for the running loop of the main thread."""
    ending = asyncio.Event()

    def end() -> None:
        # While Ray starts, its C++ core has SIGTERM: it passes the signal on to us and sets an alarm that aborts the
        # process three seconds later. An orderly end may take longer.
        signal.alarm(0)
        ending.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    return ending


async def _serve(settings: Settings) -> None:
    ending = end_at_signals()
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
            f"{await _explorer_line(service)}"
            f"Logs: {settings.home / 'logs' / 'service.log'}. Ctrl-C ends the service.\n"
        )
        sys.stdout.flush()
        tell_systemd("READY=1")
        await waiting
    finally:
        waiting.cancel()
        sys.stdout.write("Stopping…\n")
        sys.stdout.flush()
        await service.stop()
        sys.stdout.write("Stopped; start again with `w3bstream up`.\n")


async def _explorer_line(service: Service) -> str:
    if service.explorer is None:
        return ""
    link = await service.explorer.sign_in_link()
    return f"The explorer, with a link that works once within ten minutes: {link}\n"


def run_service(settings: Settings) -> None:
    """Run the service until SIGTERM or SIGINT. Raises what `Service.start` raises."""
    configure_logs(settings.home, level=settings.log_level, mib=settings.log_mib)
    sys.setswitchinterval(SWITCH_SECONDS)
    asyncio.run(_serve(settings))
