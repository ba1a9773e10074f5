"""The dispatcher: one loop of rounds over the ledger, and one that takes the pool's events.

A round: statuses and heartbeats, leases renewed or lost, mined assignments sent to their workers, new leases by the
policy. Everything of record is in the ledger; what is kept here may be lost at any moment.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import structlog
from sqlalchemy import update
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.dispatch import snapshot
from coordinator.dispatch.attempts import TaskEnded
from coordinator.dispatch.fleet import REGISTERED, Fleet
from coordinator.dispatch.identity import load_identity
from coordinator.dispatch.pool import PoolEvent, ProverPool, Stirred, Worker, WorkerSpec
from coordinator.dispatch.proving_task import load_proving_task
from coordinator.dispatch.recording import Recorder
from coordinator.dispatch.rounds import WORKED_ON, Rounds
from coordinator.dispatch.snapshot import LeasedAttempt
from coordinator.ledger.store import Ledger, move_attempt
from coordinator.ledger.tables import AttemptRow, TaskRow
from coordinator.ledger.transitions import AttemptState
from coordinator.scheduling.policy import plan
from coordinator.scheduling.status import renewed_until
from coordinator.scheduling.values import History, Limits, ProverStatus
from coordinator.scheduling.values import Prover as PolicyProver
from coordinator.settings import Settings
from provers.programs_index import installed_programs
from provers.protocol import Prepared, Program, Prover
from verifier.errors import Conflict, Unavailable, W3bstreamError
from verifier.statement import Domain

log = structlog.get_logger(__name__)

START_GRACE_MS = 120_000
"""After a restart, an assignment that is not proving yet waits so long for its worker to come up."""
POOL_RETRY_SECONDS = 10.0
LEAST_PAUSE_SECONDS = 0.01
STOP_SECONDS = 10.0


def limits_of(settings: Settings) -> Limits:
    """The policy's numbers from the operator's settings."""
    attempt_ms = round(settings.attempt_seconds * 1000)
    return Limits(
        lease_ms=round(settings.lease_seconds * 1000),
        heartbeat_ms=round(settings.heartbeat_seconds * 1000),
        attempt_ms=attempt_ms,
        settle_ms=max(attempt_ms, 600_000),
        attempt_cap=settings.attempt_cap,
    )


def worker_specs(
    settings: Settings, programs: Mapping[str, Program], kinds: frozenset[str], entries: Mapping[str, str]
) -> tuple[WorkerSpec, ...]:
    """`settings.provers` workers for each kind that has a prover and a program, named `<kind>-<number>`."""
    by_kind = {kind: tuple(program for program in programs.values() if program.kind == kind) for kind in sorted(kinds)}
    served = {kind: held for kind, held in by_kind.items() if held}
    count = settings.provers * len(served)
    threads = settings.prover_threads or max(1, (os.cpu_count() or 1) // max(1, count))
    return tuple(
        WorkerSpec(f"{kind}-{number}", kind, held, entries.get(kind, ""), threads)
        for kind, held in served.items()
        for number in range(settings.provers)
    )


async def _nobody(_session: AsyncSession, _now: int, _task: TaskRow) -> None:
    """Nobody wants to hear of ended tasks."""


class Dispatcher:
    """Has OPEN tasks proven.

    Parameters: `domain` names chain and Router; `provers` are the coordinator's own, by kind, for verification;
    `programs` by name, default those installed; `entries` names a prover "module:Class" by kind where it is not
    registered; `limits` default to those of `settings`; `on_task_ended` is called in the same transaction when a task
    becomes FAILED, EXPIRED or FROZEN.
    """

    def __init__(
        self,
        ledger: Ledger,
        pool: ProverPool,
        settings: Settings,
        domain: Domain,
        provers: Mapping[str, Prover],
        *,
        programs: Mapping[str, Program] | None = None,
        entries: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        on_task_ended: TaskEnded = _nobody,
    ) -> None:
        self._ledger = ledger
        self._pool = pool
        self._settings = settings
        self._domain = domain
        self._provers = dict(provers)
        self._programs = dict(installed_programs() if programs is None else programs)
        self._limits = limits or limits_of(settings)
        self.specs = worker_specs(settings, self._programs, frozenset(self._provers), entries or {})
        """The workers that this dispatcher runs."""
        identities = {spec.id: load_identity(settings.home, spec.id) for spec in self.specs}
        self._fleet = Fleet(ledger, self._limits, identities)
        self._rounds = Rounds(ledger, self._limits, on_task_ended)
        self._prepared: dict[tuple[str, bytes], Prepared] = {}
        self._recorder = Recorder(
            ledger, domain, self._limits, provers=self._provers, prepared=self._prepared, ended=on_task_ended
        )
        self._proving_since: dict[int, int] = {}
        self._served_at: dict[int, int] = {}
        self._recording: set[asyncio.Task[None]] = set()
        self._reported: set[int] = set()
        self._running: asyncio.Task[None] | None = None
        self._stirred = asyncio.Event()
        self._stopping = False

    async def run(self) -> None:
        """Work until `stop`. A round that breaks off is logged and made again."""
        self._running = asyncio.current_task()
        try:
            await self._fleet.enrol(self.specs)
            await self._recover()
            async with asyncio.TaskGroup() as group:
                others = [
                    group.create_task(self._start_pool(), name="dispatch-pool"),
                    group.create_task(self._take_events(), name="dispatch-events"),
                ]
                await self._make_rounds()
                for task in others:
                    task.cancel()
        finally:
            await self._finish_recording()
            self._recorder.close()
            await self._pool.stop()

    async def _finish_recording(self) -> None:
        """Let reports that are being recorded come to their end, within reason."""
        if self._recording:
            await asyncio.wait(self._recording, timeout=STOP_SECONDS)
        for task in tuple(self._recording):
            task.cancel()
        await asyncio.gather(*self._recording, return_exceptions=True)

    async def stop(self) -> None:
        """End `run` after its round: workers are ended, and what they were proving is LOST when the next process
        starts."""
        running = self._running
        self._stopping = True
        self._stirred.set()
        if running is None or running.done():
            return
        await asyncio.wait({running}, timeout=STOP_SECONDS)
        running.cancel()
        await asyncio.wait({running})

    async def _start_pool(self) -> None:
        """Prepare the programs here first, so that workers find keys and caches made, then start the workers."""
        for program in self._programs.values():
            if program.kind in self._provers:
                await self._prepare(program)
        while True:
            try:
                await self._pool.start()
                await self._pool.add(self.specs)
            except Unavailable as error:
                log.warning("prover pool is not available", reason=str(error))
                await asyncio.sleep(POOL_RETRY_SECONDS)
            else:
                log.info("prover pool started", workers=len(self.specs))
                return

    async def _prepare(self, program: Program) -> None:
        """Make a program ready to verify. One that cannot be made ready is left out: its attempts are rejected, and its
        workers say why they are Offline."""
        prover = self._provers[program.kind]
        try:
            prepared = await asyncio.to_thread(prover.prepare, program, lambda stage, done: None)
        except W3bstreamError as error:
            log.warning("program cannot be prepared", program=program.name, code=error.code, reason=error.message)
            return
        self._prepared[(program.kind, prepared.program_id)] = prepared

    async def _recover(self) -> None:
        """Leases of a former process: what was proving is lost with its worker; what was only assigned may go on."""
        now = self._ledger.clock()
        ours = {spec.id for spec in self.specs}
        async with self._ledger.reading() as session:
            leased = await snapshot.leased_attempts(session)
        for attempt in leased:
            if attempt.state is AttemptState.PROVING or attempt.prover_id not in ours:
                reason = "the coordinator restarted and the worker is gone"
                await self._rounds.lose(attempt, AttemptState.LOST, reason=reason, code="W3B-4082")
                continue
            patient = replace(self._limits, lease_ms=max(START_GRACE_MS, self._limits.lease_ms))
            until = max(attempt.lease_expires_at, renewed_until(now, None, attempt.deadline_at, patient))
            async with self._ledger.transaction() as session:
                await session.exec(
                    update(AttemptRow).where(col(AttemptRow.id) == attempt.id).values(lease_expires_at=until)
                )

    async def _take_events(self) -> None:
        while True:
            event = await self._pool.next_event()
            task = asyncio.create_task(self.handle(event))
            self._recording.add(task)
            task.add_done_callback(self._recorded)

    def _recorded(self, task: asyncio.Task[None]) -> None:
        self._recording.discard(task)
        self._stirred.set()
        if not task.cancelled() and task.exception() is not None:
            log.error("a report could not be recorded; its lease runs out", exc_info=task.exception())

    async def handle(self, event: PoolEvent) -> None:
        """Take one event of the pool: verify, record, and let the next round see it."""
        if isinstance(event, Stirred) or event.attempt_id is None:
            return
        self._reported.add(event.attempt_id)
        try:
            await self._recorder.record(event)
        finally:
            self._reported.discard(event.attempt_id)

    async def _make_rounds(self) -> None:
        pause = self._limits.heartbeat_ms / 2000
        while not self._stopping:
            seen = self._ledger.commits
            self._stirred.clear()
            began = time.monotonic()
            try:
                await self.round()
            except Exception:  # whatever broke it off (a locked database, say), the next round begins from the ledger
                log.exception("round broken off")
                await asyncio.sleep(pause)
            await asyncio.sleep(max(LEAST_PAUSE_SECONDS, time.monotonic() - began))
            if not self._stopping:
                await self._wait_for_news(seen, pause)

    async def _wait_for_news(self, seen: int, seconds: float) -> None:
        """Until a commit, an event of the pool, or at most `seconds`."""
        stirred = asyncio.create_task(self._stirred.wait())
        changed = asyncio.create_task(self._ledger.changed(seen, seconds))
        try:
            await asyncio.wait({stirred, changed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stirred.cancel()
            changed.cancel()
            await asyncio.gather(stirred, changed, return_exceptions=True)

    async def round(self) -> None:
        """One round over the ledger. Doing it once more changes nothing that is done."""
        now = self._ledger.clock()
        workers = {worker.id: worker for worker in self._pool.workers()}
        await self._rounds.expire_overdue(now)
        await self._rounds.settle_accounts(now)
        async with self._ledger.reading() as session:
            leased = await snapshot.leased_attempts(session)
        self._forget_ended(leased)
        held = frozenset(self._reported) | {worker.attempt_id for worker in workers.values() if worker.attempt_id}
        await self._rounds.renew(now, leased, workers, held=held, proving_since=self._proving_since)
        kept = [attempt for attempt in leased if await self._keep(now, attempt)]
        await self._end_strays(workers, {attempt.id for attempt in kept})
        for attempt in kept:
            if attempt.state is AttemptState.ASSIGNED and attempt.assign_state in REGISTERED:
                await self._send(now, attempt, workers.get(attempt.prover_id))
        busy = frozenset(attempt.prover_id for attempt in kept)
        provers = await self._fleet.refresh(now, tuple(workers.values()), busy)
        if any(prover.status is ProverStatus.IDLE for prover in provers):
            await self._give_leases(now, kept, provers)

    def _forget_ended(self, leased: list[LeasedAttempt]) -> None:
        live = {attempt.id for attempt in leased}
        for attempt_id in [each for each in self._proving_since if each not in live]:
            del self._proving_since[attempt_id]

    async def _keep(self, now: int, attempt: LeasedAttempt) -> bool:
        """Whether the lease goes on; else end it."""
        if attempt.task_state not in WORKED_ON:
            await self._rounds.supersede(attempt)
            return False
        if attempt.assign_state == "REFUSED" and attempt.state is AttemptState.ASSIGNED:
            reason = attempt.assign_reason or "the chain refused the assignment"
            await self._rounds.lose(
                attempt, AttemptState.REJECTED, reason=reason, code=attempt.assign_code or "W3B-3001"
            )
            return False
        return not await self._expire(now, attempt)

    async def _expire(self, now: int, attempt: LeasedAttempt) -> bool:
        """End a lease that ran out; what the snapshot says may have been renewed a moment ago."""
        if attempt.lease_expires_at > now:
            return False
        async with self._ledger.reading() as session:
            row = await session.get(AttemptRow, attempt.id)
        if row is None or row.state != attempt.state.value or row.lease_expires_at > now:
            return False
        reason = "the lease ran out: the worker was not heard of, or took longer than allowed"
        return await self._rounds.lose(attempt, AttemptState.LOST, reason=reason, code="W3B-3008")

    async def _end_strays(self, workers: dict[str, Worker], kept: set[int]) -> None:
        """Stop workers that still prove what holds no lease any more."""
        for worker in workers.values():
            if worker.attempt_id is not None and worker.attempt_id not in kept:
                log.info("proof cancelled", worker=worker.id, attempt=worker.attempt_id)
                await self._pool.cancel(worker.id, worker.attempt_id)

    async def _send(self, now: int, attempt: LeasedAttempt, worker: Worker | None) -> None:
        """Send an attempt whose assignment is mined to its worker; while that is not ready the lease runs."""
        if worker is None or not worker.ready or worker.attempt_id is not None:
            return
        async with self._ledger.reading() as session:
            row = await session.get_one(AttemptRow, attempt.id)
            try:
                task = await load_proving_task(session, self._domain, row)
            except W3bstreamError as error:
                task, refusal = None, error
        if task is None:
            await self._rounds.lose(attempt, AttemptState.REJECTED, reason=refusal.message, code=refusal.code)
            return
        until = renewed_until(now, now, attempt.deadline_at, self._limits)
        try:
            async with self._ledger.transaction() as session:
                await move_attempt(
                    session, now, attempt.id, attempt.fence, AttemptState.PROVING, lease_expires_at=until
                )
        except Conflict as error:
            log.info("attempt moved before", attempt=attempt.id, reason=str(error))
            return
        self._proving_since[attempt.id] = now
        try:
            await self._pool.prove(worker.id, attempt.id, attempt.fence, task)
        except Conflict as error:
            await self._rounds.lose(attempt, AttemptState.LOST, reason=error.message, code="W3B-4082")

    async def _give_leases(self, now: int, kept: list[LeasedAttempt], provers: list[PolicyProver]) -> None:
        async with self._ledger.reading() as session:
            tasks, failed_by = await snapshot.waiting_tasks(session, now)
        in_flight = Counter(attempt.project_id for attempt in kept)
        history = History(in_flight=in_flight, served_at=self._served_at, failed_by=failed_by)
        addresses = {prover.id: self._fleet.address(prover.id) for prover in provers}
        leases = plan(now, tasks, provers, history, self._limits)
        for lease in await self._rounds.assign(now, leases, addresses):
            self._served_at[lease.project_id] = now
            log.info("lease given", task=lease.task_id, prover=lease.prover_id, kind=lease.kind)
