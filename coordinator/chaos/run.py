"""One chaos run from an empty home to the verdict."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from coordinator.chaos.facts import Facts, gather
from coordinator.chaos.faults import ALL, RPC_KINDS, FaultKind, schedule
from coordinator.chaos.load import FINAL_EVENT, Fleet, Load, make_fleet
from coordinator.chaos.parts import FOLDER, ChainPart, ReceiverPart, ServicePart, claim_home
from coordinator.chaos.report import Outcome, Report
from coordinator.chaos.striking import Striking
from coordinator.chaos.verdict import Verdict, judge
from coordinator.chaos.wall_clock import WallClock
from coordinator.ledger.store import Ledger
from coordinator.reconcile.report import Break
from verifier.errors import Unavailable, W3bstreamError
from w3bstream.v1 import prover_pb2

READY_SECONDS = 300.0
"""For the first start: programs may have to be set up."""
TICK_SECONDS = 0.2
LOOK_SECONDS = 2.0
COMPARE_SECONDS = 120.0
STOP_SECONDS = 90.0
SETTINGS = {"WEBHOOK_PAUSES": "[1,2,4,8]", "WEBHOOK_CAP": "1000", "ATTEMPT_CAP": "1000", "EXPLORER": "false"}
"""What differs from the defaults: webhooks come again within the run, and nothing is given up for being struck often."""
BEHIND_PROXY = {"CHAIN_RPC_SECONDS": "2", "ALLOW_LOOPBACK_WEBHOOKS": "true"}
"""What differs besides where the chain runs apart: an answer that does not come is waited for within the run."""

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Plan:
    """What to do."""

    home: Path
    """Scratch home folder; empty, or that of an earlier run."""
    seed: int = 1
    seconds: float = 120.0
    """How long faults strike under load."""
    kinds: Sequence[FaultKind] = ALL
    rate: float = 2.0
    """Readings a second."""
    projects: int = 2
    devices: int = 4
    """Of each project."""
    drain_seconds: float = 600.0
    """How long the installation has to finish everything after the last fault."""


async def run(plan: Plan, report: Report) -> Outcome:
    """Run it. Raises Conflict (W3B-8101) for a home that is not chaos's own, Unavailable (W3B-8102, W3B-8008)."""
    claim_home(plan.home)
    faults = schedule(plan.seed, plan.seconds, plan.kinds)
    report.planned(plan.seed, faults)
    async with _installation(plan) as made:
        report.step("starting an installation of its own (the first time keys are set up, about a minute)")
        fleets = await _prepared(plan, made.service, made.receiver)
        striking = Striking(made.service, made.receiver, faults, report.happened, made.chain, made.clock)
        run = _Run(plan, report, made.service, made.receiver, made.ledger, fleets, striking)
        return await run.whole()


@dataclass(frozen=True)
class _Installation:
    service: ServicePart
    receiver: ReceiverPart
    ledger: Ledger
    chain: ChainPart | None
    clock: WallClock | None


@asynccontextmanager
async def _installation(plan: Plan) -> AsyncIterator[_Installation]:
    """Everything, running; at the end nothing of it is left."""
    receiver = ReceiverPart(plan.home / FOLDER, _free_port(), plan.seed)
    chain = ChainPart(plan.home, _free_port(), plan.seed) if RPC_KINDS.intersection(plan.kinds) else None
    clock = WallClock(plan.home / FOLDER / "clock") if FaultKind.CLOCK_SET in plan.kinds else None
    settings = SETTINGS | (BEHIND_PROXY | {"CHAIN_RPC_URL": chain.proxy.url} if chain else {})
    service = ServicePart(plan.home, _free_port(), settings, clock)
    ledger = Ledger.at(plan.home / "ledger.db")
    try:
        receiver.start()
        if chain is not None:
            await _begun(chain)
        service.start()
        yield _Installation(service, receiver, ledger, chain, clock)
    finally:
        service.kill_all()
        receiver.kill()
        if chain is not None:
            chain.end()
        await ledger.close()


async def _begun(chain: ChainPart) -> None:
    chain.start()
    ends = time.monotonic() + READY_SECONDS
    while not chain.listens():
        if chain.ended is not None or time.monotonic() > ends:
            raise Unavailable("W3B-8102", "the chain does not answer; see chaos/chain.out in the home folder")
        await asyncio.sleep(TICK_SECONDS)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _asked(service: ServicePart, ask: Callable[[Any], Answer], seconds: float) -> Answer:
    """The answer of the service's API, asked again until it gives one. Raises what its last error was."""
    ends = time.monotonic() + seconds

    def once() -> Answer:
        with service.client() as client:
            return ask(client)

    while True:
        try:
            return await asyncio.to_thread(once)
        except (W3bstreamError, FileNotFoundError) as error:  # no key file before the first start is through
            if service.ended is not None or time.monotonic() > ends:
                where = service.home / FOLDER / "service.out"
                raise Unavailable("W3B-8102", f"the service does not answer: {error}; see {where}") from error
        await asyncio.sleep(0.5)


async def _prepared(plan: Plan, service: ServicePart, receiver: ReceiverPart) -> list[Fleet]:
    """The projects, published, with webhooks; workers wait for work."""
    await _asked(service, lambda client: client.get_status(), READY_SECONDS)
    ends = time.monotonic() + READY_SECONDS
    while not await _asked(service, _workers_wait, READY_SECONDS):
        if time.monotonic() > ends:
            raise Unavailable("W3B-8102", f"no prover was ready within {READY_SECONDS:g} s")
        await asyncio.sleep(0.5)

    def make(client: Any) -> list[Fleet]:
        run_name = f"{int(time.time()):x}"
        return [make_fleet(client, f"chaos-{run_name}-{number}", plan.devices) for number in range(plan.projects)]

    def hear(client: Any) -> dict[int, str]:
        ids = [fleet.project_id for fleet in fleets]
        return {each: client.create_webhook(each, receiver.url(each), [FINAL_EVENT]).secret for each in ids}

    fleets = await _asked(service, make, READY_SECONDS)
    receiver.trust(await _asked(service, hear, READY_SECONDS))
    return fleets


def _workers_wait(client: Any) -> bool:
    return any(each.status == prover_pb2.PROVER_STATUS_IDLE for each in client.list_provers())


@dataclass
class _Run:
    plan: Plan
    report: Report
    service: ServicePart
    receiver: ReceiverPart
    ledger: Ledger
    fleets: list[Fleet]
    striking: Striking

    def __post_init__(self) -> None:
        self._began = time.monotonic()
        self._looked = 0.0
        self._drain_seconds = 0.0
        connect = self.service.client
        self._load = Load(connect, self.fleets, self.plan.rate, home=self.plan.home, seed=self.plan.seed)

    def _now(self) -> float:
        return time.monotonic() - self._began

    async def whole(self) -> Outcome:
        """Load and faults, drain, verdict."""
        self._load.start()
        try:
            while self._now() < self.plan.seconds:
                self.striking.tick(self._now())
                await self._look()
                await asyncio.sleep(TICK_SECONDS)
            self.striking.take_back(self._now())
            drained = await self._drained()
        finally:
            self._load.abandon()
        verdict = await self._verdict(drained)
        outcome = Outcome(
            self.plan.seed,
            round(self.plan.seconds / 60, 2),
            verdict,
            self.striking.struck,
            self._load.record,
            self.striking.ended_by_itself,
            self._drain_seconds,
        )
        self.report.outcome(outcome)
        return outcome

    async def _facts(self) -> Facts:
        projects = [fleet.project_id for fleet in self.fleets]
        return await gather(self.ledger, projects, self._load.record, self.plan.home / FOLDER)

    async def _look(self) -> Facts | None:
        """The figures for whoever looks on, now and then."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return None
        self._looked = time.monotonic()
        facts = await self._facts()
        self.report.figures(self._now(), facts.counts(), self._load.waiting, self.striking.struck)
        return facts

    async def _drained(self) -> bool:
        """Whether everything that was accepted came to rest in time."""
        began = time.monotonic()
        self.report.step("the faults are over; what is under way is finished")
        self._load.finish()
        ends, flushed = began + self.plan.drain_seconds, False
        while time.monotonic() < ends:
            self.striking.tick(self._now())
            if not flushed and not self._load.is_alive():
                flushed = await self._flushed()
            facts = await self._look()
            if flushed and facts is not None and facts.at_rest():
                self._drain_seconds = round(time.monotonic() - began, 1)
                return True
            await asyncio.sleep(TICK_SECONDS)
        self._drain_seconds = round(time.monotonic() - began, 1)
        return False

    async def _flushed(self) -> bool:
        """Close the open windows; whether that was heard for each project."""

        def flush() -> None:
            with self.service.client(timeout=60.0) as client:
                for fleet in self.fleets:
                    client.submit_task(fleet.project_id, timeout=60.0)

        try:
            await asyncio.to_thread(flush)
        except W3bstreamError as error:
            self.report.step(f"closing the open windows: {error}; tried again")
            return False
        return True

    async def _verdict(self, drained: bool) -> Verdict:
        compared = await self._compared()
        if not drained:
            message = f"not everything came to rest within {self.plan.drain_seconds:g} s after the last fault"
            compared.append(Break("W3B-8115", "the installation", message))
        facts = await self._facts()
        status = await self.service.stop(STOP_SECONDS)
        if status != 0:
            how = f"did not end within {STOP_SECONDS:g} s" if status is None else f"ended with status {status}"
            compared.append(Break("W3B-8116", "the service", f"told to stop, it {how}"))
        return judge(facts, compared)

    async def _compared(self) -> list[Break]:
        """What the service says of itself: `reconcile`, and each stream put through the intake's rules once more."""
        self.report.step("comparing ledger, chain and streams")
        try:
            found = await _asked(self.service, _reconciled, COMPARE_SECONDS)
            for fleet in self.fleets:
                found += await _asked(self.service, _rebuilt(fleet.project_id), COMPARE_SECONDS)
        except W3bstreamError as error:
            return [Break("W3B-8117", "the comparison", f"{error}")]
        return found


def _reconciled(client: Any) -> list[Break]:
    for progress in client.reconcile():
        if progress.HasField("report"):
            report = progress.report
            found = [Break(each.code, each.subject, each.message, each.project_id) for each in report.breaks]
            return found + [Break("W3B-8117", part, why) for part, why in sorted(report.left_out.items())]
    raise Unavailable("W3B-8102", "the comparison ended without a report")


def _rebuilt(project_id: int) -> Callable[[Any], list[Break]]:
    def rebuild(client: Any) -> list[Break]:
        found = client.verify_stream(project_id)
        subject = f"stream of project {project_id}"
        return [Break("W3B-8118", subject, each, project_id) for each in found.differences]

    return rebuild


def run_to_the_end(plan: Plan, report: Report) -> Outcome:
    """`run` for a command. Raises what `run` raises, KeyboardInterrupt too; nothing is left running then."""
    with contextlib.closing(report):
        return asyncio.run(run(plan, report))
