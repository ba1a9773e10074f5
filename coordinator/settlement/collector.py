"""Turns ledger facts into outbox transactions, each round in one ledger transaction; it never talks to the chain.

| fact | transaction |
|---|---|
| a prover without a registration | `registerProver` |
| a RECEIVED task of a published version | its part of an `applyBatch` of tasks |
| an ASSIGNED attempt of a recorded task, its prover there | its part of an `applyBatch` of assignments and statuses |
| a prover's status that moved, or was not sent for a while | its part of the latter |
| a session key without a registration | `register` of its TEE verifier |
| a PROVED attempt | `settle`, after its assignment is mined, and its session key's registration where it has one |

A PROVED attempt whose session key will never be registered is REJECTED.

Rules: one round of batches under way at a time, so that windows are recorded in order; one settle under way per task and
kind. Tasks have a batch of their own, because nothing in it runs out: after a reorg the same bytes are accepted again,
in the same order, however much later. With an assignment in it, whose deadline may have passed by then, the whole batch
would be refused, a later window be recorded first, and FleetManagement never take the earlier one (`WindowOverlap`).
"""

from __future__ import annotations

import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import aliased
from sqlmodel import col, exists, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.confirmation import is_confirming
from coordinator.ledger.outbox_tables import OutboxTxRow, SessionKeyRow
from coordinator.ledger.outboxes import enqueue_tx
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import AttemptRow, ProjectRow, ProjectVersionRow, ProverRow, TaskRow
from coordinator.ledger.transitions import AttemptState, TaskState
from coordinator.settlement import key_registrations, outbox
from coordinator.settlement.batches import BatchItem, encode, ref_of
from coordinator.settlement.key_registrations import SessionKeyCalls
from coordinator.webhooks.task_events import statement_of
from verifier import bindings
from verifier.bindings import Deployment

_STRONGEST = ("IDLE", "BUSY", "OFFLINE")
"""Workers may share an address: it is as available as its most available worker."""
_ROUND = 200
"""Settles and registrations enqueued in one round."""
_FAR_SECONDS = 10 * 365 * 86_400
"""A chain whose clock is further ahead of ours is not believed: its servers lie."""


@dataclass(frozen=True)
class CollectorLimits:
    """How much goes into a batch, and how often statuses alone are worth a transaction."""

    tasks: int = 40
    """Tasks in one batch; about 100,000 gas each."""
    assignments: int = 80
    """Assignments in one batch; about 60,000 gas each."""
    status_seconds: float = 5.0
    """Least time between batches that carry nothing but statuses."""
    refresh_seconds: float = 40.0
    """Statuses that did not move are sent again after so long: FleetManagement takes silence for Offline."""
    deadline_seconds: float = 1200.0
    """How far a deadline is put off, at most, for a chain whose clock runs ahead of ours."""


@dataclass(frozen=True)
class _Found:
    """What a round would enqueue."""

    registrations: Mapping[str, Sequence[ProverRow]]
    orphans: Sequence[tuple[AttemptRow, SessionKeyRow]]
    """Proofs whose session keys will never be registered."""
    settles: Sequence[tuple[AttemptRow, TaskRow]]
    tasks: Sequence[BatchItem]
    """Items of the batch of tasks."""
    work: Sequence[BatchItem]
    """Items of the batch of statuses and assignments."""

    def __bool__(self) -> bool:
        return bool(self.registrations or self.orphans or self.settles or self.tasks or self.work)


class Collector:
    """Collects for one deployment; call `round` again and again.

    Parameters: `held_projects` are projects to leave alone, with the monotonic time until which (the sender's);
    `chain_time` gives the newest block's timestamp in seconds, 0 before one is known; `operator` is the address that
    new provers name as their operator, empty for none; `session_keys` knows the calls that register session keys (None:
    they wait, and so do their proofs).
    """

    def __init__(
        self,
        ledger: Ledger,
        deployment: Deployment,
        *,
        limits: CollectorLimits | None = None,
        held_projects: Mapping[int, float] | None = None,
        chain_time: Callable[[], int] = lambda: 0,
        operator: str = "",
        session_keys: SessionKeyCalls | None = None,
    ) -> None:
        self._ledger = ledger
        self._deployment = deployment
        self._limits = limits or CollectorLimits()
        self._held = held_projects if held_projects is not None else {}
        self._chain_time = chain_time
        self._operator = operator.lower()
        self._session_keys = session_keys
        self._mirrored_at = float("-inf")

    async def round(self) -> bool:
        """Enqueue what there is; say whether there was anything."""
        keys = await key_registrations.answers(self._ledger, self._session_keys, _ROUND)
        async with self._ledger.reading() as session:
            if not keys and not await self._look(session):
                return False
        async with self._ledger.transaction() as session:
            await key_registrations.register(session, self._ledger.clock(), keys)
            found = await self._look(session)  # again, under the write lock
            await key_registrations.reject(session, self._ledger.clock(), found.orphans)
            for address, rows in found.registrations.items():
                await self._register(session, address, rows)
            for attempt, task in found.settles:
                await self._settle(session, attempt, task)
            for batch in (found.tasks, found.work):
                if batch:
                    await self._enqueue_batch(session, batch)
        if found.work:
            self._mirrored_at = time.monotonic()
        return bool(keys or found)

    async def _look(self, session: AsyncSession) -> _Found:
        records: list[BatchItem] = []
        work: list[BatchItem] = []
        if not await outbox.has_open_batch(session):
            records = [BatchItem("tasks", task.id) for task in await self._tasks(session)]
            attempts = await self._assignments(session)
            statuses = await self._statuses(session, {row.prover_address.lower() for row in attempts})
            work += [BatchItem("statuses", address, status) for address, status in statuses.items()]
            work += [BatchItem("assignments", row.id or 0) for row in attempts]
        registrations, orphans = await self._registrations(session), await key_registrations.orphans(session, _ROUND)
        return _Found(registrations, orphans, await self._settles(session), records, work)

    # --- provers ---

    async def _registrations(self, session: AsyncSession) -> dict[str, list[ProverRow]]:
        found = await session.exec(
            select(ProverRow).where(col(ProverRow.register_tx).is_(None)).order_by(col(ProverRow.id)).limit(_ROUND)
        )
        rows: dict[str, list[ProverRow]] = defaultdict(list)
        for row in found.all():
            rows[row.address.lower()].append(row)
        return dict(rows)

    async def _register(self, session: AsyncSession, address: str, rows: Sequence[ProverRow]) -> None:
        kinds = sorted({row.kind for row in rows})
        count = await session.exec(
            select(OutboxTxRow.id).where(
                OutboxTxRow.purpose == "register_prover",
                col(OutboxTxRow.dedupe_key).startswith(f"register_prover:{address}:"),
            )
        )
        tx = await enqueue_tx(
            session,
            self._ledger.clock(),
            dedupe_key=f"register_prover:{address}:{len(count.all()) + 1}",
            purpose="register_prover",
            to=self._deployment.fleet,
            data=bindings.register_prover(_address(address), kinds, operator=_address(self._operator or "00" * 20)),
            ref={"provers": [row.id for row in rows], "address": address, "kinds": kinds},
        )
        for row in rows:
            row.register_tx, row.operator = tx, self._operator
            session.add(row)

    async def _statuses(self, session: AsyncSession, assigned: set[str]) -> dict[str, str]:
        """Address → status to mirror: those that moved or have an assignment in this batch; now and then all."""
        registered = await session.exec(
            select(ProverRow)
            .join(OutboxTxRow, col(OutboxTxRow.id) == col(ProverRow.register_tx))
            .where(col(OutboxTxRow.state).in_(outbox.DONE_STATES))
            .order_by(col(ProverRow.id))
        )
        workers: dict[str, list[ProverRow]] = defaultdict(list)
        for row in registered.all():
            workers[row.address.lower()].append(row)
        age = time.monotonic() - self._mirrored_at
        chosen: dict[str, str] = {}
        for address, rows in workers.items():
            status = min((row.status for row in rows), key=_STRONGEST.index)
            moved = any(row.mirrored_status != status for row in rows)
            silent = status != "OFFLINE" and age >= self._limits.refresh_seconds
            if address in assigned or silent or (moved and age >= self._limits.status_seconds):
                chosen[address] = status
        return chosen

    # --- tasks and attempts ---

    async def _tasks(self, session: AsyncSession) -> list[TaskRow]:
        """In window order. A project whose pause or resume is under way is left alone until that is mined."""
        switching = exists().where(
            col(OutboxTxRow.purpose).in_(("pause", "resume")),
            col(OutboxTxRow.state).in_(("QUEUED", "SENT")),
            OutboxTxRow.ref["project_id"].as_integer() == col(TaskRow.project_id),
        )
        held = [project for project, until in self._held.items() if until > time.monotonic()]
        found = await session.exec(
            select(TaskRow)
            .join(
                ProjectVersionRow,
                (col(ProjectVersionRow.project_id) == col(TaskRow.project_id))
                & (col(ProjectVersionRow.version) == col(TaskRow.version)),
            )
            .join(ProjectRow, col(ProjectRow.id) == col(TaskRow.project_id))
            .where(
                TaskRow.state == TaskState.RECEIVED.value,
                col(TaskRow.record_tx).is_(None),
                ProjectVersionRow.state == "PUBLISHED",
                ProjectRow.state == "ACTIVE",
                col(TaskRow.project_id).not_in(held),
                ~switching,
            )
            .order_by(col(TaskRow.project_id), col(TaskRow.version), col(TaskRow.window_start))
            .limit(self._limits.tasks)
        )
        return list(found.all())

    async def _assignments(self, session: AsyncSession) -> list[AttemptRow]:
        found = await session.exec(
            select(AttemptRow)
            .join(TaskRow, col(TaskRow.id) == col(AttemptRow.task_id))
            .join(ProverRow, col(ProverRow.id) == col(AttemptRow.prover_id))
            .join(OutboxTxRow, col(OutboxTxRow.id) == col(ProverRow.register_tx))
            .where(
                AttemptRow.state == AttemptState.ASSIGNED.value,
                col(AttemptRow.assign_tx).is_(None),
                or_(TaskRow.state == TaskState.OPEN.value, is_confirming(col(AttemptRow.kind))),
                # After a restart a lease waits for its worker; until then FleetManagement would refuse it.
                ProverRow.status != "OFFLINE",
                col(OutboxTxRow.state).in_(outbox.DONE_STATES),
            )
            .order_by(col(AttemptRow.id))
            .limit(self._limits.assignments)
        )
        return list(found.all())

    async def _put_off(self, session: AsyncSession, items: Sequence[BatchItem]) -> None:
        """Give the assignments' deadlines, which we count from our time, the same length by the chain's, where that is
        far ahead: our clock was set back, and a chain's never goes back. It would refuse every assignment until then."""
        now, most = self._chain_time() * 1000, round(self._limits.deadline_seconds * 1000)
        if now - self._ledger.clock() > _FAR_SECONDS * 1000:
            return
        for item in items:
            if item.kind == "assignments":
                attempt = await session.get_one(AttemptRow, item.id)
                length = min(most, attempt.deadline_at - attempt.created_at)
                if attempt.deadline_at - now < length // 2:
                    attempt.deadline_at = now + length
                    session.add(attempt)
        await session.flush()

    async def _enqueue_batch(self, session: AsyncSession, items: Sequence[BatchItem]) -> None:
        await self._put_off(session, items)
        tx = await enqueue_tx(
            session,
            self._ledger.clock(),
            dedupe_key=f"apply_batch:{secrets.token_hex(12)}",
            purpose="apply_batch",
            to=self._deployment.fleet,
            data=await encode(session, items),
            ref=ref_of(items),
        )
        statuses = {item.id: item.status for item in items if item.kind == "statuses"}
        for item in items:
            if item.kind == "tasks":
                task = await session.get_one(TaskRow, item.id)
                task.record_tx = tx
                session.add(task)
            elif item.kind == "assignments":
                attempt = await session.get_one(AttemptRow, item.id)
                attempt.assign_tx = tx
                session.add(attempt)
        if statuses:
            for prover in (await session.exec(select(ProverRow))).all():
                if prover.address.lower() in statuses:
                    prover.mirrored_status = statuses[prover.address.lower()]
                    session.add(prover)

    # --- proofs ---

    async def _settles(self, session: AsyncSession) -> list[tuple[AttemptRow, TaskRow]]:
        """The oldest unsent proof of each task and kind that has none sent or accepted."""
        rival = aliased(AttemptRow)
        sent = exists().where(
            col(rival.task_id) == col(AttemptRow.task_id),
            col(rival.kind) == col(AttemptRow.kind),
            col(rival.settle_tx).is_not(None),
            col(rival.state).in_((AttemptState.PROVED.value, AttemptState.POSTED.value, AttemptState.VERIFIED.value)),
        )
        found = await session.exec(
            select(AttemptRow, TaskRow)
            .join(TaskRow, col(TaskRow.id) == col(AttemptRow.task_id))
            .where(
                AttemptRow.state == AttemptState.PROVED.value,
                col(AttemptRow.settle_tx).is_(None),
                col(AttemptRow.assign_tx).is_not(None),
                or_(
                    col(TaskRow.state).in_((TaskState.OPEN.value, TaskState.SATISFIED.value)),
                    is_confirming(col(AttemptRow.kind)),
                    # Kept by the dispatch as evidence: it shows another output than the result at the Router.
                    (col(TaskRow.state) == TaskState.FROZEN.value)
                    & (col(AttemptRow.kind) == col(TaskRow.confirm_kind)),
                ),
                key_registrations.settleable(),
                ~sent,
            )
            .order_by(col(AttemptRow.id))
            .limit(_ROUND)
        )
        first: dict[tuple[str, str], tuple[AttemptRow, TaskRow]] = {}
        for attempt, task in found.all():
            first.setdefault((attempt.task_id, attempt.kind), (attempt, task))
        return list(first.values())

    async def _settle(self, session: AsyncSession, attempt: AttemptRow, task: TaskRow) -> None:
        assert attempt.public_output is not None
        assert attempt.proof is not None
        attempt.settle_tx = await enqueue_tx(
            session,
            self._ledger.clock(),
            dedupe_key=f"settle:{task.id}:{attempt.kind}:{attempt.id}",
            purpose="settle",
            to=self._deployment.router,
            data=bindings.settle(statement_of(task, attempt), attempt.kind, attempt.public_output, attempt.proof),
            ref={"attempt_id": attempt.id, "task_id": task.id},
            after_tx=attempt.assign_tx,
            fence=attempt.fence,
        )
        session.add(attempt)


def _address(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
