"""The loops of the coordinator that leads: intake, dispatch, settlement and webhooks, started and ended together."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

from coordinator.api.program_outputs import manifest_outputs
from coordinator.api.surroundings import ComponentStatus
from coordinator.dispatch.dispatcher import Dispatcher
from coordinator.dispatch.ray_pool import RayPool
from coordinator.evidence.final_receipts import FinalReceipts
from coordinator.evidence.many_servers import rpc_of
from coordinator.intake.admission import Admission
from coordinator.intake.service import Intake
from coordinator.intake.stream import DaStream, Published
from coordinator.jobs.runner import JobRunner
from coordinator.ledger.store import Ledger
from coordinator.service.preparation import simulated_anchors
from coordinator.service.supervision import Supervised
from coordinator.settings import Settings
from coordinator.settlement.chain import Chain
from coordinator.settlement.finality import Finality
from coordinator.settlement.service import Settlement
from coordinator.settlement.session_keys import SessionKeyCalls
from coordinator.settlement.signer import Signer
from coordinator.settlement.tee_contracts import TeeContracts
from coordinator.webhooks.backoff import Backoff
from coordinator.webhooks.event import Site
from coordinator.webhooks.guarded_client import GuardedClient
from coordinator.webhooks.sender import WebhookSender
from coordinator.webhooks.ssrf import UrlPolicy
from coordinator.webhooks.task_events import TaskEvents
from provers.programs_index import installed_programs
from provers.protocol import Prover
from verifier.bindings import Deployment
from verifier.evidence.document import BLS
from verifier.reading import Reading
from verifier.statement import Domain

NAMES = ("intake", "jobs", "dispatch", "settlement", "webhooks")
"""The loops, as the status names them."""


class Parts:
    """Supervised parts; the stack `closing` ends them in the opposite order of their starts."""

    def __init__(self, closing: contextlib.AsyncExitStack) -> None:
        self._closing = closing
        self._parts: list[Supervised] = []

    def start(
        self,
        name: str,
        run: Callable[[], Coroutine[Any, Any, None]],
        stop: Callable[[], Awaitable[None] | None],
        seconds: float = 20.0,
    ) -> None:
        """Run a part supervised. On the way down it is told to stop, then waited for, at most `seconds`."""
        part = Supervised(name, run)
        self._parts.append(part)
        self._closing.push_async_callback(part.end, seconds)

        async def tell() -> None:
            told = stop()
            if told is not None:
                await told

        self._closing.push_async_callback(tell)
        part.start()

    def errors(self) -> dict[str, str]:
        """Each part's last error by its name; empty while it runs well."""
        return {part.name: part.error for part in self._parts}


class Loops:
    """One leader's loops, running from the moment it is made.

    Parameters: `ledger` is the leader's (`Ledger.led_by`), so that nothing is written once another coordinator leads;
    `nats_url` is where the streams are; `provers` are this coordinator's own, for verification.
    """

    def __init__(
        self,
        ledger: Ledger,
        settings: Settings,
        *,
        nats_url: str,
        chain: Chain,
        signer: Signer,
        deployment: Deployment,
        finality: Finality,
        provers: Mapping[str, Prover],
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._closing = contextlib.AsyncExitStack()
        self._parts = Parts(self._closing)
        site = Site(deployment.chain_id, deployment.router, settings.explorer_url.rstrip("/"))
        tell = TaskEvents(site, manifest_outputs)
        receipts = FinalReceipts(rpc_of(chain)) if finality.source == BLS else None
        self.settlement = Settlement(
            ledger,
            chain,
            signer,
            deployment,
            finality=finality,
            tell=tell,
            receipts=receipts,
            operator=settings.operator,
            session_keys=self._session_keys(chain, signer, deployment),
        )
        """The sender of transactions."""
        self._parts.start("settlement", self.settlement.run, self.settlement.stop)
        self.intake = Intake(ledger, settings, nats_url)
        """The readers of the projects' streams."""
        self._parts.start("intake", self.intake.run, self.intake.stop)
        jobs = JobRunner(ledger, self.intake)
        self._parts.start("jobs", jobs.run, jobs.stop)
        self._start_dispatch(deployment, provers, tell)
        self._start_webhooks()

    def _session_keys(self, chain: Chain, signer: Signer, deployment: Deployment) -> SessionKeyCalls:
        anchors = simulated_anchors(self._settings.home)
        contracts = TeeContracts(self._ledger, chain, deployment, member=signer.address, anchors=anchors)
        domain = Domain(deployment.chain_id, deployment.router_bytes())
        return SessionKeyCalls(contracts, chain, signer, domain, anchors=anchors)

    def _start_dispatch(self, deployment: Deployment, provers: Mapping[str, Prover], tell: TaskEvents) -> None:
        kinds = Counter(program.kind for program in installed_programs().values())
        capacity = {kind: self._settings.provers for kind in kinds if kind in provers}
        self.pool = RayPool(self._settings.home, capacity, address=self._settings.ray_address)
        """The prover workers."""
        domain = Domain(deployment.chain_id, deployment.router_bytes())
        cluster = self.pool if self._settings.ray_address else None
        dispatcher = Dispatcher(
            self._ledger, self.pool, self._settings, domain, provers, on_task_ended=tell, cluster=cluster
        )
        self._dispatcher = dispatcher
        self._parts.start("dispatch", dispatcher.run, dispatcher.stop)

    def _start_webhooks(self) -> None:
        guard = GuardedClient(UrlPolicy(allow_loopback=self._settings.loopback_webhooks))
        backoff = Backoff(self._settings.webhook_pauses)
        sender = WebhookSender(self._ledger, guard, cap=self._settings.webhook_cap, backoff=backoff)
        self._parts.start("webhooks", sender.run, sender.stop)

    def components(self) -> Sequence[ComponentStatus]:
        """Ray and each loop, as they stand now."""
        workers = self.pool.workers()
        ready, wanted = sum(worker.ready for worker in workers), len(self._dispatcher.specs)
        starting = "" if workers else ", Ray is starting or its nodes have room for none"
        least = min(1, self._settings.provers_min) if self._settings.ray_address else 0
        errors = self._parts.errors()
        return [
            ComponentStatus("ray", ready == wanted >= least, f"{ready} of {wanted} workers ready{starting}"),
            *(ComponentStatus(name, not errors[name], errors[name]) for name in NAMES),
        ]

    async def end(self) -> None:
        """End them: batches and rounds under way are finished, workers are ended."""
        await self._closing.aclose()


class IntakeDoor:
    """The streams, as the API uses them in every coordinator, whether it leads or not.

    Parameters: `intake` is never run; `loops` gives the leader's loops while this coordinator leads.
    """

    def __init__(self, intake: Intake, loops: Callable[[], Loops | None]) -> None:
        self._intake = intake
        self._loops = loops

    async def admission(self, project_id: int) -> Admission:
        """What the project admits now. Raises NotFound (W3B-1006)."""
        return await self._intake.admission(project_id)

    async def publish(self, project_id: int, readings: Sequence[Reading]) -> list[Published]:
        """Store checked readings of one project; durable when this returns. Raises Unavailable, NotFound, Refused."""
        return await self._intake.publish(project_id, readings)

    async def stream(self, project_id: int) -> DaStream:
        """The project's DA layer, to look at. Raises Unavailable (W3B-1008), NotFound (W3B-1006) and Refused."""
        return await self._intake.stream(project_id)

    async def end(self, project_id: int) -> int:
        """First stream position that is not taken yet. Raises Unavailable, NotFound, Refused."""
        return await self._intake.end(project_id)

    def stopped(self, project_id: int) -> str:
        """Why the project's intake stands still; empty when it does not, or runs in another coordinator."""
        loops = self._loops()
        return loops.intake.stopped(project_id) if loops else ""

    async def close(self) -> None:
        """Close the connections to the streams."""
        await self._intake.stop()


def standing_by() -> Sequence[ComponentStatus]:
    """The same components in a coordinator that does not lead: there is nothing wrong with them."""
    return [ComponentStatus(name, True, "stands by") for name in ("ray", *NAMES)]
