"""The dispatcher: one loop of rounds over the ledger, and one that takes the pool's events.

A round reads what is leased and what waits, decides (statuses, leases renewed or lost, mined assignments started, new
leases and hedges by the policy), writes all of it in one transaction, and only then sends work to workers. Everything
of record is in the ledger; what is kept here may be lost at any moment.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import structlog
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.dispatch import snapshot
from coordinator.dispatch.choosing import Choice
from coordinator.dispatch.confirming import TaskEnded
from coordinator.dispatch.fleet import REGISTERED, Fleet
from coordinator.dispatch.following import ClusterPool, Follower
from coordinator.dispatch.identity import load_home_id, load_identity
from coordinator.dispatch.leases import LeaseBook
from coordinator.dispatch.pool import (
    Died,
    Failed,
    PoolEvent,
    Proved,
    ProverPool,
    Steady,
    Worker,
    WorkerSpec,
    steady_clock,
)
from coordinator.dispatch.recording import Recorder, Report
from coordinator.dispatch.reruns import Reruns, is_rerun
from coordinator.dispatch.rounds import WORKED_ON, Facts, Rounds, Writes
from coordinator.dispatch.snapshot import INTERRUPTED, LeasedAttempt
from coordinator.dispatch.timekeeping import Timekeeper
from coordinator.dispatch.work_traces import read_traceparents
from coordinator.ledger.bulk import AttemptMove
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import TaskRow
from coordinator.ledger.transitions import AttemptState
from coordinator.scheduling.pace import Pace
from coordinator.scheduling.status import is_heard
from coordinator.scheduling.values import Limits, ProverStatus
from coordinator.scheduling.values import Prover as PolicyProver
from coordinator.settings import Settings
from provers.programs_index import installed_programs
from provers.protocol import Prepared, Program, Prover, ProvingTask
from provers.worker import Work
from verifier.errors import Conflict, Unavailable, W3bstreamError
from verifier.statement import Domain

log = structlog.get_logger(__name__)

START_GRACE_MS = 120_000
"""After a restart, an assignment that is not proving yet waits so long for its worker to come up."""
POOL_RETRY_SECONDS = 10.0
LONG_ROUND_SECONDS = 0.0025
"""A round that took longer had much to do, and its like follows: reports that come together are taken together."""
GATHER_SECONDS = 0.004
"""Pause after such a round. Any other is followed at once."""
STOP_SECONDS = 10.0
THOROUGH_SECONDS = 30.0
"""How often a round looks at every task's accounts, not only at those that moved."""
HISTORY = 5_000
"""Finished attempts that are read at start, for p95."""
PROGRESS_STEP = 0.05
"""Progress is written when it moved so far, or with the next renewal."""


def limits_of(settings: Settings) -> Limits:
    """The policy's numbers from the operator's settings."""
    attempt_ms = round(settings.attempt_seconds * 1000)
    return Limits(
        lease_ms=round(settings.lease_seconds * 1000),
        heartbeat_ms=round(settings.heartbeat_seconds * 1000),
        attempt_ms=attempt_ms,
        settle_ms=max(attempt_ms, 600_000),
        attempt_cap=settings.attempt_cap,
        hedge_share=settings.hedge_share,
    )


def worker_specs(
    settings: Settings, programs: Mapping[str, Program], kinds: frozenset[str], entries: Mapping[str, str]
) -> tuple[WorkerSpec, ...]:
    """`settings.provers` workers for each kind that has a prover and a program, named `<kind>-<number>`, or
    `<kind>-<name>-<number>` when the settings have a name for them."""
    prefix = f"{settings.prover_name}-" if settings.prover_name else ""
    by_kind = {kind: tuple(program for program in programs.values() if program.kind == kind) for kind in sorted(kinds)}
    served = {kind: held for kind, held in by_kind.items() if held}
    count = settings.provers * len(served)
    threads = settings.prover_threads or max(1, (os.cpu_count() or 1) // max(1, count))
    return tuple(
        WorkerSpec(
            f"{kind}-{prefix}{number}",
            kind,
            held,
            entries.get(kind, ""),
            threads,
            settings.prover_table_mib,
            settings.otlp_endpoint,
        )
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
    becomes FAILED, EXPIRED or FROZEN; `steady` gives milliseconds that no clock setting moves; `cluster` is the pool once
    more where the workers are to follow a cluster's resources instead of `settings.provers`.
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
        steady: Steady = steady_clock,
        cluster: ClusterPool | None = None,
    ) -> None:
        self._ledger = ledger
        self._pool = pool
        self._settings = settings
        self._domain = domain
        self._provers = dict(provers)
        self._programs = dict(installed_programs() if programs is None else programs)
        self._limits = limits or limits_of(settings)
        specs = worker_specs(settings, self._programs, frozenset(self._provers), entries or {})
        self._crew = {} if cluster else {spec.id: spec for spec in specs}
        identities = {spec.id: load_identity(settings.home, spec.id) for spec in self.specs}
        self._time = Timekeeper(ledger.clock, steady)
        self._fleet = Fleet(ledger, self._limits, identities)
        self._follower = None
        if cluster is not None:
            one_each = settings.model_copy(update={"provers": 1})
            models = worker_specs(one_each, self._programs, frozenset(self._provers), entries or {})
            self._follower = Follower(
                ledger, cluster, self._fleet, settings, crew=self._crew, models=models, steady=steady
            )
        self._rounds = Rounds(ledger, domain, self._limits, on_task_ended)
        self._leases = LeaseBook(self._limits)
        self._pace = Pace(self._limits)
        self._choice = Choice(self._rounds, self._leases, self._pace, self._limits)
        self._prepared: dict[tuple[str, bytes], Prepared] = {}
        self._recorder = Recorder(
            ledger,
            domain,
            self._limits,
            provers=self._provers,
            prepared=self._prepared,
            ended=on_task_ended,
            clock=self._time.now,
            book=self._rounds.book,
        )
        self._reruns = Reruns(
            ledger,
            domain,
            self._limits,
            provers=self._provers,
            prepared=self._prepared,
            clock=self._time.now,
            book=self._rounds.book,
        )
        self._programs_of: dict[int, tuple[str, str]] = {}
        self._recording: set[asyncio.Task[None]] = set()
        self._reported: Counter[int] = Counter()
        self._running: asyncio.Task[None] | None = None
        self._stirred = asyncio.Event()
        self._stopping = False
        self._thorough_at = float("-inf")

    @property
    def specs(self) -> tuple[WorkerSpec, ...]:
        """The workers that this dispatcher runs now."""
        return tuple(self._crew.values())

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
                break
        if self._follower is not None:
            await self._follower.run()

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
        """Leases of a former process: what was proving is lost with its worker, at no cost to the task; what was only
        assigned may go on."""
        ours = frozenset(spec.id for spec in self.specs)
        if self._follower is not None:  # which of them come back is not known yet
            ours = await self._fleet.of_home(load_home_id(self._settings.home))
        leased = await self._ledger.read(snapshot.leased_attempts)
        finished = await self._ledger.read(lambda connection: snapshot.finished_attempts(connection, HISTORY))
        for kind, program_id, whole in finished:
            self._pace.note((kind, program_id), whole)
        for attempt in leased:
            if attempt.state is AttemptState.PROVING or attempt.prover_id not in ours:
                reason = "the coordinator restarted and the worker is gone"
                await self._rounds.lose(self._time.now(), attempt, AttemptState.LOST, reason=reason, code=INTERRUPTED)
            else:
                grace = max(START_GRACE_MS, self._limits.lease_ms)
                self._leases.begin(attempt.id, self._time.steady() + grace)
        await self._reruns.recover()

    async def _take_events(self) -> None:
        while True:
            events = await self._pool.next_events()
            task = asyncio.create_task(self.handle(events))
            self._recording.add(task)
            task.add_done_callback(self._recorded)

    def _recorded(self, task: asyncio.Task[None]) -> None:
        self._recording.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._stirred.set()
            log.error("reports could not be recorded; their leases run out", exc_info=task.exception())

    async def handle(self, events: Sequence[PoolEvent]) -> None:
        """Take events of the pool: verify, record, and let the next round see it."""
        told = [event for event in events if isinstance(event, Proved | Failed | Died) and event.attempt_id is not None]
        about_tasks = [event for event in told if not is_rerun(event.attempt_id)]
        numbers = [event.attempt_id for event in about_tasks if event.attempt_id is not None]
        self._reported.update(numbers)
        try:
            if about_tasks:
                self._note_pace(about_tasks)
                await self._recorder.record(about_tasks)
        finally:
            self._reported.subtract(numbers)
            self._reported += Counter()  # drops those at zero
        for event in told:
            if is_rerun(event.attempt_id):
                await self._reruns.record(event)
        if len(about_tasks) < len(events):  # of the others the commit told
            self._stirred.set()

    def _note_pace(self, reports: Sequence[Report]) -> None:
        """Learn from proofs how long a program takes. A lie about the time costs the worker's own queue only."""
        steady = self._time.steady()
        for report in reports:
            program = self._programs_of.get(report.attempt_id or 0)
            whole = self._leases.running_ms(report.attempt_id or 0, steady)
            if isinstance(report, Proved) and program is not None and whole is not None:
                self._pace.note(program, whole, report.seconds)

    async def _make_rounds(self) -> None:
        pause = self._limits.heartbeat_ms / 2000
        while not self._stopping:
            seen, written, began = self._ledger.commits, self._rounds.written, time.monotonic()
            self._stirred.clear()
            try:
                await self.round()
                seen += self._rounds.written - written
            except Exception:  # whatever broke it off (a locked database, say), the next round begins from the ledger
                log.exception("round broken off")
                await asyncio.sleep(pause)
            await asyncio.sleep(GATHER_SECONDS if time.monotonic() - began > LONG_ROUND_SECONDS else 0)
            if not self._stopping:
                await self._wait_for_news(seen, pause)

    async def _wait_for_news(self, seen: int, seconds: float) -> None:
        """Until a commit, an event of the pool, or at most `seconds`."""
        if self._stirred.is_set() or self._ledger.commits != seen:
            return
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
        if (leap := self._time.leap()) is not None:
            await self._rounds.put_off(leap)
            self._time.taken(leap)
        now, steady = self._time.now(), self._time.steady()
        is_thorough = time.monotonic() - self._thorough_at >= THOROUGH_SECONDS
        depths = self._depths()
        places = sum(depths[spec.kind] for spec in self.specs)
        addresses = {spec.id: self._fleet.address(spec.id) for spec in self.specs}
        facts = await self._rounds.look(now, thoroughly=is_thorough, places=places, addresses=addresses)
        if is_thorough:
            self._thorough_at = time.monotonic()
        # One that was hired while the facts were read waits for the next round.
        workers = {worker.id: worker for worker in self._pool.workers() if worker.id in facts.provers}
        writes = Writes(renewals=self._renewals(now, steady, facts, workers))
        kept = [attempt for attempt in facts.leased if await self._keep(now, steady, attempt)]
        self._leases.keep({attempt.id for attempt in kept})
        self._recorder.expect_only({attempt.id for attempt in facts.leased})
        self._programs_of = {attempt.id: (attempt.kind, attempt.program_id) for attempt in kept}
        await self._end_strays(workers, {attempt.id for attempt in kept})
        works = await self._starts(now, kept, workers, writes, facts.tasks)
        provers, writes.statuses = self._fleet.look(steady, workers.values(), facts.provers, self._busy(kept), depths)
        waiting = facts.waiting if len(kept) == len(facts.leased) else None  # a lost attempt's task may wait now
        writes.leases = await self._choice.leases(now, steady, kept, provers, waiting)
        writes.statuses = self._fleet.with_leases(writes.statuses, writes.leases)
        written = await self._rounds.write(now, writes, self._addresses(facts))
        for lease, attempt_id in written.leased:
            self._choice.served_at[lease.project_id] = steady
            self._leases.begin(attempt_id, steady + lease.expires_at - now)
        if written.leased:
            log.info(
                "leases given", count=len(written.leased), hedges=sum(lease.is_hedge for lease, _ in written.leased)
            )
        await self._send(now, [(attempt, work) for attempt, work in works if attempt.id in written.started])
        await self._compute_again(steady, facts, provers, writes)

    def _addresses(self, facts: Facts) -> dict[str, str]:
        return {spec.id: self._fleet.address(spec.id) for spec in self.specs if spec.id in facts.provers}

    def _depths(self) -> dict[str, int]:
        return {kind: self._pace.depth(kind) for kind in {spec.kind for spec in self.specs}}

    def _busy(self, kept: Sequence[LeasedAttempt]) -> dict[str, list[str]]:
        """What each prover with leases works on, in words."""
        busy: dict[str, list[str]] = defaultdict(list)
        for attempt in kept:
            doing = "proves" if attempt.state is AttemptState.PROVING else "is assigned"
            busy[attempt.prover_id].append(f"{doing} task {attempt.task_id}")
        for prover_id, doing in self._reruns.busy().items():
            busy[prover_id].append(doing)
        return busy

    def _renewals(
        self, now: int, steady: int, facts: Facts, workers: Mapping[str, Worker]
    ) -> list[tuple[int, int, AttemptState, Mapping[str, object]]]:
        """Renew the leases whose workers are heard and have the attempt; returns what is worth writing: a lease of
        which a third is gone, a stage or progress that moved. A write for each ping would tell nothing more."""
        held = set(self._reported) | {attempt_id for worker in workers.values() for attempt_id in worker.held}
        due: list[tuple[int, int, AttemptState, Mapping[str, object]]] = []
        for attempt in facts.leased:
            worker = workers.get(attempt.prover_id)
            self._leases.is_over(attempt.id, steady)  # begins the lease of one that is not known here
            if worker is None or not is_heard(steady, worker.heard, self._limits):
                continue
            if attempt.state is AttemptState.PROVING and attempt.id not in held:
                continue  # nobody has it any more: it runs out
            until = now + self._leases.renew(attempt.id, steady, attempt.deadline_at - now)
            is_mine = worker.proving == attempt.id and worker.stage
            stage, progress = (worker.stage, worker.progress) if is_mine else (attempt.stage, attempt.progress)
            is_old = until - attempt.lease_expires_at > self._limits.lease_ms // 3
            if is_old or stage != attempt.stage or abs(progress - attempt.progress) >= PROGRESS_STEP:
                values = {"lease_expires_at": until, "stage": stage, "progress": progress}
                due.append((attempt.id, attempt.fence, attempt.state, {**values, "heartbeat_at": worker.heard_at}))
        return due

    async def _keep(self, now: int, steady: int, attempt: LeasedAttempt) -> bool:
        """Whether the lease goes on; else end it."""
        if attempt.task_state not in WORKED_ON and not attempt.confirms:
            await self._rounds.supersede(now, attempt)
            return False
        if attempt.assign_state == "REFUSED" and attempt.state is AttemptState.ASSIGNED:
            reason = attempt.assign_reason or "the chain refused the assignment"
            await self._rounds.lose(
                now, attempt, AttemptState.REJECTED, reason=reason, code=attempt.assign_code or "W3B-3001"
            )
            return False
        if not self._leases.is_over(attempt.id, steady) or attempt.id in self._reported:
            return True
        reason = "the lease ran out: the worker was not heard of, or took longer than allowed"
        await self._rounds.lose(now, attempt, AttemptState.LOST, reason=reason, code="W3B-3008")
        return False

    async def _end_strays(self, workers: Mapping[str, Worker], kept: set[int]) -> None:
        """Stop workers that still prove what holds no lease any more."""
        wanted = kept | self._reruns.numbers()
        for worker in workers.values():
            for attempt_id in worker.held - wanted:
                log.info("proof cancelled", worker=worker.id, attempt=attempt_id)
                await self._pool.cancel(worker.id, attempt_id)

    async def _starts(
        self,
        now: int,
        kept: Sequence[LeasedAttempt],
        workers: Mapping[str, Worker],
        writes: Writes,
        made: Mapping[int, ProvingTask],
    ) -> list[tuple[LeasedAttempt, Work]]:
        """Attempts whose assignments are mined and whose workers have room; while one is not ready its lease runs."""
        depths, holding = self._depths(), {worker.id: len(worker.held) for worker in workers.values()}
        starting = []
        for attempt in kept:
            worker = workers.get(attempt.prover_id)
            is_due = attempt.state is AttemptState.ASSIGNED and attempt.assign_state in REGISTERED
            if is_due and worker is not None and worker.ready and holding[worker.id] < depths[worker.kind]:
                holding[worker.id] += 1
                starting.append(attempt)
        found: dict[int, ProvingTask | W3bstreamError] = {
            each.id: made[each.id] for each in starting if each.id in made
        }
        if others := [attempt for attempt in starting if attempt.id not in found]:
            addresses = {spec.id: self._fleet.address(spec.id) for spec in self.specs}
            ids = [attempt.id for attempt in others]
            found |= zip(ids, await self._rounds.proving_tasks(others, addresses), strict=True)
        traces = await read_traceparents(self._ledger, starting) if self._settings.otlp_endpoint else {}
        works = []
        for attempt in starting:
            task = found[attempt.id]
            if isinstance(task, W3bstreamError):
                await self._rounds.lose(now, attempt, AttemptState.REJECTED, reason=task.message, code=task.code)
                continue
            until = min(attempt.deadline_at, now + self._limits.lease_ms)
            values = {"lease_expires_at": until, "started_at": now}
            writes.starts.append(AttemptMove(attempt.id, attempt.fence, AttemptState.PROVING, values=values))
            work = Work(attempt.id, attempt.fence, task, attempt.fence > 1, traces.get(attempt.id, ""))
            works.append((attempt, work))
        return works

    async def _send(self, now: int, works: Sequence[tuple[LeasedAttempt, Work]]) -> None:
        """Hand what is PROVING now to its workers. A worker that died meanwhile costs the task nothing."""
        steady = self._time.steady()
        by_worker: dict[str, list[tuple[LeasedAttempt, Work]]] = defaultdict(list)
        for attempt, work in works:
            self._leases.start(attempt.id, steady, attempt.deadline_at - now)
            self._recorder.expect(attempt, work)
            by_worker[attempt.prover_id].append((attempt, work))
        for worker_id, mine in by_worker.items():
            try:
                await self._pool.prove(worker_id, [work for _, work in mine])
            except Conflict as error:
                for attempt, _ in mine:
                    await self._rounds.lose(now, attempt, AttemptState.LOST, reason=error.message, code=INTERRUPTED)

    async def _compute_again(self, steady: int, facts: Facts, provers: Sequence[PolicyProver], writes: Writes) -> None:
        """Re-runs, on workers that nobody else wants."""
        ready = {worker.id for worker in self._pool.workers() if worker.ready}
        await self._reruns.expire(steady, lambda prover_id: prover_id not in ready)
        taken = {lease.prover_id for lease in writes.leases}
        idle = [
            prover
            for prover in provers
            if prover.status is ProverStatus.IDLE and not prover.draining and prover.id not in taken
        ]
        if not facts.reruns or not idle:
            return
        for prover_id, work in await self._reruns.take(steady, facts.reruns, idle, self._addresses(facts)):
            try:
                await self._pool.prove(prover_id, [work])
            except Conflict as error:
                await self._reruns.record(Died(prover_id, error.message, work.attempt_id, work.fence))
