"""ProverService: who is Idle, Busy or Offline, and who takes no more work."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from sqlmodel import col, func, select, true
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.api import render
from coordinator.api.auth import current_caller, require_still_valid
from coordinator.api.tail import Tail
from coordinator.ledger.outbox_tables import OutboxTxRow
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import AttemptRow, ProverEventRow, ProverRow
from coordinator.ledger.transitions import LEASED_ATTEMPT_STATES, AttemptState
from verifier.errors import NotFound
from w3bstream.v1 import prover_pb2, prover_pb2_grpc

EVERY_PROVER = "provers"
"""The one topic of prover events."""
_FAILED = (AttemptState.LOST, AttemptState.REJECTED)
_ON_CHAIN = ("MINED", "SAFE", "FINAL")


class ProverService(prover_pb2_grpc.ProverServiceServicer):
    """Serves provers from the ledger."""

    def __init__(self, ledger: Ledger, tail: Tail[ProverEventRow]) -> None:
        self._ledger = ledger
        self._tail = tail

    async def ListProvers(
        self, request: prover_pb2.ListProversRequest, context: object
    ) -> prover_pb2.ListProversResponse:
        """All provers, or those of one kind, by id."""
        query = select(ProverRow).order_by(col(ProverRow.id))
        if request.kind:
            query = query.where(ProverRow.kind == request.kind)
        async with self._ledger.reading() as session:
            rows = (await session.exec(query)).all()
            return prover_pb2.ListProversResponse(provers=await _render(session, rows))

    async def WatchProvers(
        self, request: prover_pb2.WatchProversRequest, context: object
    ) -> AsyncIterator[prover_pb2.ProverEvent]:
        """Changes of status from `after_event_id` on, each once and in order; ends only with the call."""
        caller = current_caller()

        async def ended(session: AsyncSession) -> bool:
            await require_still_valid(session, caller)
            return False

        async for row in self._tail.follow(EVERY_PROVER, request.after_event_id, true(), ended):
            yield render.prover_event(row)

    async def DrainProver(self, request: prover_pb2.DrainProverRequest, context: object) -> prover_pb2.Prover:
        """Start or end draining; once more changes nothing."""
        current_caller().require_all_projects()
        async with self._ledger.transaction() as session:
            row = await session.get(ProverRow, request.prover_id, populate_existing=True)
            if row is None:
                raise NotFound("W3B-3007", f"there is no prover {request.prover_id[:100]!r}", field="prover_id")
            if row.draining != request.drain:
                now = self._ledger.clock()
                row.draining, row.updated_at = request.drain, now
                reason = "draining: takes no new work" if request.drain else "draining ended"
                session.add(row)
                session.add(ProverEventRow(prover_id=row.id, status=row.status, reason=reason, at=now))
                await session.flush()
            return (await _render(session, [row]))[0]


async def _render(session: AsyncSession, rows: Sequence[ProverRow]) -> list[prover_pb2.Prover]:
    ids = [row.id for row in rows]
    counted = await session.exec(
        select(AttemptRow.prover_id, AttemptRow.state, func.count())
        .where(col(AttemptRow.prover_id).in_(ids))
        .group_by(col(AttemptRow.prover_id), col(AttemptRow.state))
    )
    counts = {(prover_id, state): count for prover_id, state, count in counted}
    leased = await session.exec(
        select(AttemptRow.prover_id, AttemptRow.task_id)
        .where(col(AttemptRow.prover_id).in_(ids), col(AttemptRow.state).in_(LEASED_ATTEMPT_STATES))
        .order_by(col(AttemptRow.id))
    )
    tasks = dict(leased.all())
    registrations = {row.register_tx for row in rows if row.register_tx is not None}
    mined = await session.exec(
        select(OutboxTxRow.id).where(col(OutboxTxRow.id).in_(registrations), col(OutboxTxRow.state).in_(_ON_CHAIN))
    )
    registered = set(mined.all())
    return [
        render.prover(
            row,
            task_id=tasks.get(row.id, ""),
            registered=row.register_tx in registered,
            verified=counts.get((row.id, AttemptState.VERIFIED), 0),
            failed=sum(counts.get((row.id, state), 0) for state in _FAILED),
        )
        for row in rows
    ]
