"""The steps of one round: each looks at the snapshot and makes its own transactions.

A transition that another room made first raises Conflict; then there is nothing left to do, and the next round sees it.
"""

from __future__ import annotations

from collections.abc import Iterable

import structlog
from sqlalchemy import update
from sqlmodel import col

from coordinator.dispatch import attempts, snapshot
from coordinator.dispatch.attempts import TaskEnded
from coordinator.dispatch.pool import Worker
from coordinator.dispatch.snapshot import LeasedAttempt
from coordinator.ledger.store import Ledger, get_task, move_attempt
from coordinator.ledger.tables import AttemptRow
from coordinator.ledger.transitions import AttemptState, TaskState
from coordinator.scheduling.assurance import Verdict
from coordinator.scheduling.status import is_heard, renewed_until
from coordinator.scheduling.values import Lease, Limits
from verifier.errors import Conflict, NotFound, W3bstreamError

log = structlog.get_logger(__name__)

WORKED_ON = frozenset({TaskState.RECEIVED, TaskState.OPEN})
"""Task states in which its leases go on; RECEIVED is the short way back after a reorg."""
PROGRESS_STEP = 0.05
"""Progress is written when it moved so far, or with the next renewal."""


class Rounds:
    """The ledger side of the dispatcher's loop. Parameters: `ledger`, the policy's `limits`, and who hears of ended
    tasks."""

    def __init__(self, ledger: Ledger, limits: Limits, ended: TaskEnded) -> None:
        self._ledger = ledger
        self._limits = limits
        self._ended = ended

    async def lose(self, attempt: LeasedAttempt, target: AttemptState, *, reason: str, code: str) -> bool:
        """End an attempt as LOST or REJECTED; False when another room ended it first."""
        now = self._ledger.clock()
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

    async def supersede(self, attempt: LeasedAttempt) -> None:
        """Take the lease from an attempt whose task ended."""
        await self._supersede(attempt.id, attempt.fence, f"task is {attempt.task_state}")

    async def _supersede(self, attempt_id: int, fence: int, reason: str) -> None:
        try:
            async with self._ledger.transaction() as session:
                await move_attempt(
                    session, self._ledger.clock(), attempt_id, fence, AttemptState.SUPERSEDED, reason=reason
                )
        except Conflict as error:
            log.info("attempt ended before", attempt=attempt_id, reason=str(error))

    async def renew(
        self,
        now: int,
        leased: Iterable[LeasedAttempt],
        workers: dict[str, Worker],
        *,
        held: frozenset[int],
        proving_since: dict[int, int],
    ) -> None:
        """Renew the leases whose workers are heard, and write stages and progress, in one transaction a round.

        `held` are the attempts that a worker proves or whose report is being recorded, `proving_since` when each began.
        A lease is renewed once a third of it is gone: a write for each ping would tell nothing more.
        """
        due = []
        for attempt in leased:
            worker = workers.get(attempt.prover_id)
            if worker is None or not is_heard(now, worker.heard_at, self._limits):
                continue
            if attempt.state is AttemptState.PROVING and attempt.id not in held:
                continue  # nobody has it any more: it runs out
            until = renewed_until(now, proving_since.get(attempt.id), attempt.deadline_at, self._limits)
            is_mine = worker.attempt_id == attempt.id
            stage, progress = (
                (worker.stage, worker.progress) if is_mine and worker.stage else (attempt.stage, attempt.progress)
            )
            is_old = until - attempt.lease_expires_at > self._limits.lease_ms // 3
            if is_old or stage != attempt.stage or abs(progress - attempt.progress) >= PROGRESS_STEP:
                until = max(until, attempt.lease_expires_at)
                due.append((attempt, {"lease_expires_at": until, "stage": stage, "progress": progress}))
        if not due:
            return
        async with self._ledger.transaction() as session:
            for attempt, values in due:
                await session.exec(
                    update(AttemptRow)
                    .where(
                        col(AttemptRow.id) == attempt.id,
                        col(AttemptRow.fence) == attempt.fence,
                        col(AttemptRow.state) == attempt.state.value,
                    )
                    .values(heartbeat_at=workers[attempt.prover_id].heard_at, **values)
                )

    async def assign(self, now: int, leases: Iterable[Lease], addresses: dict[str, str]) -> list[Lease]:
        """Record the leases, all in one transaction each; return those that took."""
        taken = []
        for lease in leases:
            try:
                async with self._ledger.transaction() as session:
                    await attempts.assign(session, now, lease, addresses[lease.prover_id])
            except W3bstreamError as error:
                log.warning("lease not taken", task=lease.task_id, prover=lease.prover_id, reason=str(error))
                continue
            taken.append(lease)
        return taken

    async def expire_overdue(self, now: int) -> None:
        """End tasks whose deadline passed."""
        async with self._ledger.reading() as session:
            overdue = await snapshot.overdue_tasks(session, now)
        for task_id in overdue:
            await self._end(
                task_id, TaskState.EXPIRED, "the deadline passed before enough proofs were made", "W3B-3006"
            )

    async def _end(self, task_id: str, target: TaskState, reason: str, code: str) -> None:
        try:
            async with self._ledger.transaction() as session:
                now = self._ledger.clock()
                await attempts.end_task(session, now, task_id, target, self._ended, reason=reason, code=code)
        except Conflict as error:
            log.info("task moved before", task=task_id, reason=str(error))

    async def settle_accounts(self, now: int) -> None:
        """What other rooms' transitions leave to us: judge proofs, count rejected ones, drop those of ended tasks."""
        async with self._ledger.reading() as session:
            proven = [
                task_id
                for task_id in await snapshot.proven_open_tasks(session)
                if (await attempts.assurance_of(session, await get_task(session, task_id))).verdict
                is not Verdict.MISSING
            ]
            miscounted = await snapshot.miscounted_tasks(session)
            dropped = await snapshot.proofs_of_ended_tasks(session)
        for task_id in proven:
            async with self._ledger.transaction() as session:
                await attempts.reach(session, now, task_id, self._ended)
        for task_id in miscounted:
            async with self._ledger.transaction() as session:
                await attempts.recount(session, now, task_id, self._limits, self._ended)
        for attempt_id, fence, state in dropped:
            await self._supersede(attempt_id, fence, f"task is {state}")
