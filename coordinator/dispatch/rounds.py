"""The ledger side of one round: what is read at its beginning, and the one transaction that writes what was decided.

A transition that another room made first is refused by its guard; then there is nothing left to do, and the next round
sees it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from sqlalchemy import Connection, update

from coordinator.dispatch import attempts, confirming, snapshot
from coordinator.dispatch.confirming import TaskEnded
from coordinator.dispatch.fleet import REGISTERED, StatusChange, write_changes
from coordinator.dispatch.proving_task import Wanted, load_proving_tasks
from coordinator.dispatch.reruns import WaitingRerun, waiting_reruns
from coordinator.dispatch.snapshot import Accounts, LeasedAttempt, ProverRecord
from coordinator.dispatch.timekeeping import Leap
from coordinator.dispatch.version_terms import VersionBook
from coordinator.dispatch.waiting_tasks import QUEUE_DEPTH, unhedged, waiting_tasks
from coordinator.ledger.bulk import TASKS, AttemptMove, NewAttempt, add_attempts, move_attempts, set_attempts
from coordinator.ledger.confirmation import is_awaited
from coordinator.ledger.store import Ledger, get_task, move_attempt
from coordinator.ledger.transitions import AttemptState, TaskState
from coordinator.scheduling.values import Lease, Limits, OpenTask
from provers.protocol import ProvingTask
from verifier.assurance import Verdict
from verifier.errors import Conflict, NotFound, W3bstreamError
from verifier.statement import Domain

log = structlog.get_logger(__name__)

FEW = 16
"""Leases and starts that are written at once, in the event loop's own thread."""
WORKED_ON = frozenset({TaskState.RECEIVED, TaskState.OPEN})
"""Task states in which its leases go on; RECEIVED is the short way back after a reorg."""


@dataclass(frozen=True)
class Waiting:
    """What `waiting_tasks` found."""

    tasks: Sequence[OpenTask]
    failed_by: Mapping[str, tuple[str, ...]]
    has_more: bool
    depth: int
    """At most so many of each project version."""


@dataclass(frozen=True)
class Facts:
    """What a round begins with."""

    leased: Sequence[LeasedAttempt]
    provers: Mapping[str, ProverRecord]
    accounts: Accounts
    overdue: Sequence[str]
    reruns: Sequence[WaitingRerun]
    unconfirmed: Sequence[str] = ()
    """Tasks whose results nothing has confirmed in time."""
    waiting: Waiting | None = None
    """What waits; None where nobody has room, and where what was read beside it makes it stale."""
    tasks: Mapping[int, ProvingTask] = field(default_factory=dict)
    """By attempt: what the workers of mined assignments need, as far as it could be made."""


@dataclass
class Writes:
    """What a round writes, all in one transaction."""

    renewals: list[tuple[int, int, AttemptState, Mapping[str, Any]]] = field(default_factory=list)
    starts: list[AttemptMove] = field(default_factory=list)
    leases: list[Lease] = field(default_factory=list)
    statuses: list[StatusChange] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.renewals or self.starts or self.leases or self.statuses)


@dataclass(frozen=True)
class Written:
    """What took."""

    started: frozenset[int] = frozenset()
    """Attempts that are PROVING now."""
    leased: tuple[tuple[Lease, int], ...] = ()
    """Each lease with its attempt's id."""


class Rounds:
    """Reads and writes for the dispatcher's loop. Parameters: `ledger`, the `domain` of statements, the policy's
    `limits`, and who hears of ended tasks."""

    def __init__(self, ledger: Ledger, domain: Domain, limits: Limits, ended: TaskEnded) -> None:
        self._ledger = ledger
        self._domain = domain
        self._limits = limits
        self._ended = ended
        self._seen: int | None = None
        self._tasks: dict[int, ProvingTask] = {}
        self.written = 0
        """Transactions of `write`: a round that these woke would find nothing new."""
        self.book = VersionBook()
        """The versions' terms."""

    async def look(self, now: int, *, thoroughly: bool, places: int, addresses: Mapping[str, str]) -> Facts:
        """Read, in one step, what a round begins with. `thoroughly` looks at every task's accounts and deadlines; else
        only at those whose timelines grew since the last look. `places` are the leases that all workers together may
        hold, `addresses` are theirs by id."""
        before = None if thoroughly else self._seen

        def work(connection: Connection) -> tuple[Facts, int]:
            latest = snapshot.latest_event(connection)
            moved = None if before is None else snapshot.moved_tasks(connection, before, latest)
            leased = snapshot.leased_attempts(connection)
            accounts = snapshot.accounts(connection, self._limits, moved)
            overdue = snapshot.overdue_tasks(connection, now)
            room = places - len(leased)
            return Facts(
                leased=leased,
                provers=snapshot.prover_records(connection),
                accounts=accounts,
                overdue=overdue,
                reruns=waiting_reruns(connection),
                unconfirmed=snapshot.unconfirmed_tasks(connection, now),
                # Whatever is settled first changes what waits.
                waiting=self._waiting(connection, now, depth_for(room))
                if room > 0 and not overdue and accounts == Accounts()
                else None,
                tasks=self._make_tasks(connection, leased, addresses),
            ), latest

        facts, latest = await self._ledger.read(work, brief=not thoroughly)
        await self._settle(now, facts)
        self._seen = latest
        return facts

    async def put_off(self, leap: Leap) -> None:
        """Put off the deadlines that were written before the clock was set ahead."""
        waiting = TASKS.c.state.in_((TaskState.RECEIVED.value, TaskState.OPEN.value))
        later = update(TASKS).where(waiting, TASKS.c.created_at <= leap.until)
        later = later.values(deadline_at=TASKS.c.deadline_at + leap.by)
        awaited = update(TASKS).where(is_awaited(), TASKS.c.confirmation_at <= leap.until)
        awaited = awaited.values(confirm_by=TASKS.c.confirm_by + leap.by)

        def put_off(connection: Connection) -> int:
            return connection.execute(later).rowcount + connection.execute(awaited).rowcount

        count = await self._ledger.write(put_off)
        log.warning("the wall clock was set ahead: deadlines put off", by_ms=leap.by, tasks=count)

    def _make_tasks(
        self, connection: Connection, leased: Sequence[LeasedAttempt], addresses: Mapping[str, str]
    ) -> Mapping[int, ProvingTask]:
        """Tasks of the mined assignments; one that waits for room at its worker is made once."""
        mined = [
            attempt
            for attempt in leased
            if attempt.state is AttemptState.ASSIGNED
            and attempt.assign_state in REGISTERED
            and attempt.prover_id in addresses
        ]
        new = [attempt for attempt in mined if attempt.id not in self._tasks]
        wanted = [Wanted(each.task_id, each.program_id, addresses[each.prover_id], each.kind) for each in new]
        made = load_proving_tasks(connection, self._domain, self.book, wanted)
        found = {each.id: task for each, task in zip(new, made, strict=True) if isinstance(task, ProvingTask)}
        self._tasks = {each.id: self._tasks[each.id] for each in mined if each.id in self._tasks} | found
        return self._tasks

    async def _settle(self, now: int, facts: Facts) -> None:
        """What other rooms' transitions leave to us: judge proofs, count rejected ones, drop those of ended tasks; and
        end what is overdue."""
        for task_id in facts.overdue:
            reason = "the deadline passed before enough proofs were made"
            await self._end(now, task_id, TaskState.EXPIRED, reason, "W3B-3006")
        for task_id in facts.accounts.proven:
            async with self._ledger.reading() as session:
                found = await attempts.assurance_of(session, await get_task(session, task_id))
            if found.verdict is not Verdict.MISSING:
                async with self._ledger.transaction() as session:
                    await attempts.reach(session, now, task_id, self._ended)
        for task_id in facts.unconfirmed:
            async with self._ledger.transaction() as session:
                await confirming.overdue(session, now, task_id, self._ended)
        for task_id in (*facts.accounts.lost, *facts.accounts.unconfirmed):
            async with self._ledger.transaction() as session:
                await attempts.recount(session, now, task_id, self._limits, self._ended)
        for attempt_id, fence, state in facts.accounts.dropped:
            await self._supersede(now, attempt_id, fence, f"task is {state}")

    async def lose(self, now: int, attempt: LeasedAttempt, target: AttemptState, *, reason: str, code: str) -> bool:
        """End an attempt as LOST or REJECTED; False when another room ended it first."""
        try:
            async with self._ledger.transaction() as session:
                await attempts.lose(
                    session,
                    now,
                    attempt.id,
                    attempt.fence,
                    target,
                    limits=self._limits,
                    ended=self._ended,
                    reason=reason,
                    code=code,
                )
        except (Conflict, NotFound) as error:
            log.info("attempt ended before", attempt=attempt.id, reason=str(error))
            return False
        log.info("attempt ended", attempt=attempt.id, target=target.value, code=code, reason=reason)
        return True

    async def supersede(self, now: int, attempt: LeasedAttempt) -> None:
        """Take the lease from an attempt whose task ended."""
        await self._supersede(now, attempt.id, attempt.fence, f"task is {attempt.task_state}")

    async def _supersede(self, now: int, attempt_id: int, fence: int, reason: str) -> None:
        try:
            async with self._ledger.transaction() as session:
                await move_attempt(session, now, attempt_id, fence, AttemptState.SUPERSEDED, reason=reason)
        except Conflict as error:
            log.info("attempt ended before", attempt=attempt_id, reason=str(error))

    async def _end(self, now: int, task_id: str, target: TaskState, reason: str, code: str) -> None:
        try:
            async with self._ledger.transaction() as session:
                await attempts.end_task(session, now, task_id, target, self._ended, reason=reason, code=code)
        except Conflict as error:
            log.info("task moved before", task=task_id, reason=str(error))

    async def proving_tasks(
        self, attempts_: Sequence[LeasedAttempt], addresses: Mapping[str, str]
    ) -> list[ProvingTask | W3bstreamError]:
        """What the attempts' workers need; an error where it cannot be made."""
        wanted = [Wanted(each.task_id, each.program_id, addresses[each.prover_id], each.kind) for each in attempts_]
        return await self._ledger.read(
            lambda connection: load_proving_tasks(connection, self._domain, self.book, wanted)
        )

    async def waiting(self, now: int, depth: int) -> Waiting:
        """Read what waits, anew."""
        return await self._ledger.read(lambda connection: self._waiting(connection, now, depth))

    def _waiting(self, connection: Connection, now: int, depth: int) -> Waiting:
        return Waiting(*waiting_tasks(connection, now, self._limits, self.book, depth), depth)

    async def hedged(self, tasks: Iterable[str]) -> frozenset[tuple[str, str]]:
        """(task, kind) of these tasks that have had a hedge, or may have none."""
        asked = sorted(set(tasks))

        def work(connection: Connection) -> frozenset[tuple[str, str]]:
            return snapshot.hedged(connection, asked) | unhedged(connection, self.book, asked)

        return await self._ledger.read(work)

    async def write(self, now: int, writes: Writes, addresses: Mapping[str, str]) -> Written:
        """Write what a round decided. It does not wait for the disk: leases are promises among processes that end with
        this machine, and whatever leaves it (an assignment for the chain, a proof) is committed later, and synced."""
        if not writes:
            return Written()

        def work(connection: Connection) -> Written:
            set_attempts(connection, writes.renewals)
            moved, unmoved = move_attempts(connection, now, writes.starts)
            wanted = [_attempt(lease, addresses[lease.prover_id]) for lease in writes.leases]
            added, refused = add_attempts(connection, now, wanted)
            for refusal in (*unmoved, *refused):
                log.info("moved before", what=refusal.id, reason=str(refusal.error))
            write_changes(connection, now, writes.statuses)
            ids = {(attempt.task_id, attempt.prover_id): attempt_id for attempt, attempt_id, _ in added}
            leased = [(lease, ids.get((lease.task_id, lease.prover_id))) for lease in writes.leases]
            return Written(
                frozenset(each.id for each in moved),
                tuple((lease, attempt_id) for lease, attempt_id in leased if attempt_id is not None),
            )

        few = len(writes.leases) + len(writes.starts) + len(writes.renewals) <= FEW
        written = await self._ledger.write(work, synced=False, brief=few)
        self.written += 1
        return written


def depth_for(room: int) -> int:
    """How many tasks of a project version to look at for so many leases."""
    return min(QUEUE_DEPTH, 2 * room + 16)


def _attempt(lease: Lease, address: str) -> NewAttempt:
    what = "leased as a second attempt" if lease.is_hedge else "leased"
    if lease.stands_in:
        what = f"the deadline is at risk: {lease.kind} stands in, leased"
    return NewAttempt(
        task_id=lease.task_id,
        project_id=lease.project_id,
        kind=lease.kind,
        program_id=lease.program_id,
        prover_id=lease.prover_id,
        prover_address=address,
        lease_expires_at=lease.expires_at,
        deadline_at=lease.deadline_at,
        hedge=lease.is_hedge,
        reason=f"{what} to {lease.prover_id}",
    )
