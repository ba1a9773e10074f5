"""Who gets what in a round: the ledger's waiting tasks and running attempts put before the policy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from coordinator.dispatch.leases import LeaseBook
from coordinator.dispatch.rounds import Rounds, Waiting, depth_for
from coordinator.dispatch.snapshot import LeasedAttempt
from coordinator.dispatch.waiting_tasks import QUEUE_DEPTH
from coordinator.scheduling.hedge import Running, hedge_room, hedges
from coordinator.scheduling.pace import Pace
from coordinator.scheduling.policy import plan
from coordinator.scheduling.values import History, Lease, Limits, OpenTask, ProverStatus
from coordinator.scheduling.values import Prover as PolicyProver


class Choice:
    """Reads through `rounds`; parameters beside it: the leases' `book`, the `pace` of programs, the policy's
    `limits`."""

    def __init__(self, rounds: Rounds, book: LeaseBook, pace: Pace, limits: Limits) -> None:
        self._rounds = rounds
        self._book = book
        self._pace = pace
        self._limits = limits
        self.served_at: dict[int, int] = {}
        """When a project was last given a lease, on the steady clock."""

    async def leases(
        self,
        now: int,
        steady: int,
        kept: Sequence[LeasedAttempt],
        provers: Sequence[PolicyProver],
        waiting: Waiting | None = None,
    ) -> list[Lease]:
        """Leases for waiting tasks, then hedges with the provers that are left. `waiting` is what was read of them in
        this round, if it still holds."""
        room = sum(prover.room for prover in provers)
        if not room:
            return []
        in_flight = Counter(attempt.project_id for attempt in kept)
        found = waiting or await self._rounds.waiting(now, depth_for(room))
        while True:
            history = History(in_flight=in_flight, served_at=self.served_at, failed_by=found.failed_by)
            chosen = plan(now, found.tasks, provers, history, self._limits)
            if len(chosen) == room or not found.has_more or found.depth == QUEUE_DEPTH:
                break
            found = await self._rounds.waiting(now, QUEUE_DEPTH)
        taken = {lease.prover_id for lease in chosen}
        left = [prover for prover in provers if prover.id not in taken]
        return chosen + await self._hedges(now, steady, kept, left)

    async def _hedges(
        self, now: int, steady: int, kept: Sequence[LeasedAttempt], left: Sequence[PolicyProver]
    ) -> list[Lease]:
        """Second attempts beside those that take longer than p95."""
        long_after = self._pace.long_after()
        running = [
            Running(_open_task(attempt), attempt.kind, attempt.program_id, attempt.prover_id, ran, attempt.is_hedge)
            for attempt in kept
            if (ran := self._book.running_ms(attempt.id, steady)) is not None
        ]
        late = [
            each.task.id
            for each in running
            if each.running_ms > long_after.get((each.kind, each.program_id), each.running_ms)
        ]
        idle = [prover for prover in left if prover.status is ProverStatus.IDLE]
        if not late or not idle or not hedge_room(running, self._limits):
            return []
        hedged = await self._rounds.hedged(late)
        return hedges(now, running, idle, long_after, hedged, limits=self._limits)


def _open_task(attempt: LeasedAttempt) -> OpenTask:
    return OpenTask(
        id=attempt.task_id,
        project_id=attempt.project_id,
        kinds=(attempt.kind,),
        threshold=1,
        deadline_at=attempt.task_deadline_at,
        program_ids={attempt.kind: attempt.program_id},
        confirms=attempt.confirms,
    )
