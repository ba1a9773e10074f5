"""The provers in the ledger: enrolment, status from leases and heartbeats, and what the policy may choose from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlmodel import col, select

from coordinator.dispatch.identity import ProverIdentity
from coordinator.dispatch.pool import Worker, WorkerSpec
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import OutboxTxRow, ProverEventRow, ProverRow
from coordinator.scheduling.status import prover_status
from coordinator.scheduling.values import Limits, Prover, ProverStatus

REGISTERED = frozenset({"MINED", "FINAL"})
"""States of a transaction after which the chain knows what it did."""


@dataclass(frozen=True)
class _Change:
    """What a round writes about one prover."""

    worker: Worker
    status: ProverStatus
    reason: str
    is_news: bool
    """The status changed, so that an event is due."""


class Fleet:
    """This dispatcher's provers. Parameters: `ledger`, the policy's `limits`, and identities by prover id."""

    def __init__(self, ledger: Ledger, limits: Limits, identities: Mapping[str, ProverIdentity]) -> None:
        self._ledger = ledger
        self._limits = limits
        self._identities = dict(identities)
        self._idle_since: dict[str, int] = {}

    def address(self, prover_id: str) -> str:
        """Who is paid for the prover's proofs."""
        return self._identities[prover_id].address

    async def enrol(self, specs: tuple[WorkerSpec, ...]) -> None:
        """Write a row for each worker, OFFLINE until it is heard; rows of workers that are no more become OFFLINE
        too."""
        now = self._ledger.clock()
        ids = {spec.id for spec in specs}
        async with self._ledger.transaction() as session:
            known = {row.id: row for row in await session.exec(select(ProverRow))}
            for spec in specs:
                row = known.get(spec.id)
                if row is None:
                    row = ProverRow(
                        id=spec.id, kind=spec.kind, address=self.address(spec.id), created_at=now, updated_at=now
                    )
                elif row.address != self.address(spec.id):  # its key is another one: the chain does not know it
                    row.address, row.register_tx, row.mirrored_status = self.address(spec.id), None, ""
                session.add(row)
            for row in known.values():
                if row.status != ProverStatus.OFFLINE.value:
                    row.status, row.updated_at = ProverStatus.OFFLINE.value, now
                    reason = "coordinator started" if row.id in ids else "not configured any more"
                    session.add(
                        ProverEventRow(prover_id=row.id, status=ProverStatus.OFFLINE.value, reason=reason, at=now)
                    )
                    session.add(row)

    async def refresh(self, now: int, workers: tuple[Worker, ...], leased: frozenset[str]) -> list[Prover]:
        """Bring rows and events up to date; return the provers that are registered on chain, as the policy takes them.

        Parameters: `leased` holds the ids of provers with a lease. Heartbeats are written once in `heartbeat_ms` each.
        """
        async with self._ledger.reading() as session:
            rows = {
                row.id: (row, state)
                for row, state in await session.exec(
                    select(ProverRow, OutboxTxRow.state).outerjoin(
                        OutboxTxRow, col(OutboxTxRow.id) == col(ProverRow.register_tx)
                    )
                )
            }
        changes = []
        provers = []
        for worker in workers:
            row, registration = rows[worker.id]
            status, reason = prover_status(
                now,
                ready=worker.ready,
                heartbeat_at=worker.heard_at,
                draining=row.draining,
                leased=worker.id in leased,
                limits=self._limits,
            )
            if status is ProverStatus.OFFLINE and worker.error is not None:
                reason = str(worker.error)[:500]
            change = self._change(row, worker, status, reason)
            if change is not None:
                changes.append(change)
            self._note_idle(now, worker.id, status)
            if registration in REGISTERED:
                idle_since = self._idle_since.get(worker.id, now)
                provers.append(Prover(worker.id, worker.kind, status, row.draining, idle_since))
        if changes:
            await self._write(now, changes)
        return provers

    def _note_idle(self, now: int, prover_id: str, status: ProverStatus) -> None:
        if status is ProverStatus.IDLE:
            self._idle_since.setdefault(prover_id, now)
        else:
            self._idle_since.pop(prover_id, None)

    def _change(self, row: ProverRow, worker: Worker, status: ProverStatus, reason: str) -> _Change | None:
        is_news = row.status != status.value
        is_due = worker.heard_at - row.heartbeat_at >= self._limits.heartbeat_ms
        facts = (worker.trust, worker.node)
        is_other = worker.ready and facts != (row.trust, row.node)
        return _Change(worker, status, reason, is_news) if is_news or is_due or is_other else None

    async def _write(self, now: int, changes: list[_Change]) -> None:
        async with self._ledger.transaction() as session:
            for change in changes:
                row = await session.get_one(ProverRow, change.worker.id)
                row.status = change.status.value
                row.heartbeat_at = max(row.heartbeat_at, change.worker.heard_at)
                row.updated_at = now
                if change.worker.ready:
                    row.trust, row.node = change.worker.trust, change.worker.node
                session.add(row)
                if change.is_news:
                    session.add(
                        ProverEventRow(prover_id=row.id, status=change.status.value, reason=change.reason, at=now)
                    )
