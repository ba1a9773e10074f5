"""The provers in the ledger: enrolment, status from leases and heartbeats, and what the policy may choose from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import BindParameter, Connection, Table, bindparam, insert, update
from sqlmodel import col, select

from coordinator.dispatch.identity import ProverIdentity
from coordinator.dispatch.pool import Worker, WorkerSpec
from coordinator.dispatch.snapshot import PROVERS, ProverRecord
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import ProverEventRow, ProverRow
from coordinator.scheduling.status import prover_status
from coordinator.scheduling.values import Lease, Limits, Prover, ProverStatus
from verifier.errors import Conflict

REGISTERED = frozenset({"MINED", "SAFE", "FINAL"})
"""States of a transaction after which the chain knows what it did."""
PROVER_EVENTS: Table = ProverEventRow.__table__  # type: ignore[attr-defined]


IDLE_LINGER_MS = 250
"""A prover is written down as Idle when it has been for so long: one that works on tiny tasks is Busy, not both by
turns."""


@dataclass(frozen=True)
class StatusChange:
    """What a round writes about one prover."""

    prover_id: str
    status: ProverStatus
    reason: str
    is_news: bool
    """The status changed, so that an event is due."""
    heartbeat_at: int
    trust: str
    node: str


class Fleet:
    """This dispatcher's provers. Parameters: `ledger`, the policy's `limits`, and identities by prover id."""

    def __init__(self, ledger: Ledger, limits: Limits, identities: Mapping[str, ProverIdentity]) -> None:
        self._ledger = ledger
        self._limits = limits
        self._identities = dict(identities)
        self._idle_since: dict[str, int] = {}
        self._records: Mapping[str, ProverRecord] = {}
        self.leaving: frozenset[str] = frozenset()
        """Provers that get no more work, as if they were drained."""

    def admit(self, identity: ProverIdentity) -> None:
        """Make a further prover known, before it is hired."""
        self._identities[identity.id] = identity

    def address(self, prover_id: str) -> str:
        """Who is paid for the prover's proofs."""
        return self._identities[prover_id].address

    async def enrol(self, specs: tuple[WorkerSpec, ...]) -> None:
        """Write a row for each worker, OFFLINE until it is heard; rows of workers that are no more become OFFLINE
        too. Raises Conflict (W3B-8013) when a worker's id belongs to another home folder on this ledger."""
        now = self._ledger.clock()
        ids = {spec.id for spec in specs}
        async with self._ledger.transaction() as session:
            known = {row.id: row for row in await session.exec(select(ProverRow))}
            for spec in specs:
                session.add(self._enrolled(spec, known.get(spec.id), now))
            for row in known.values():
                if row.status != ProverStatus.OFFLINE.value:
                    row.status, row.updated_at = ProverStatus.OFFLINE.value, now
                    reason = "coordinator started" if row.id in ids else "its coordinator does not lead"
                    session.add(
                        ProverEventRow(prover_id=row.id, status=ProverStatus.OFFLINE.value, reason=reason, at=now)
                    )
                    session.add(row)

    async def hire(self, specs: Sequence[WorkerSpec]) -> None:
        """Write a row for each further worker, OFFLINE until it is heard. Raises Conflict (W3B-8013) as `enrol`."""
        now = self._ledger.clock()
        async with self._ledger.transaction() as session:
            for spec in specs:
                session.add(self._enrolled(spec, await session.get(ProverRow, spec.id), now))

    async def of_home(self, home: str) -> frozenset[str]:
        """Every worker that a home folder ever had."""
        async with self._ledger.reading() as session:
            return frozenset(await session.exec(select(ProverRow.id).where(ProverRow.home == home)))

    async def dismiss(self, prover_ids: Sequence[str], reason: str) -> None:
        """Write that workers are no more; their rows stay, for what they proved."""
        now = self._ledger.clock()
        async with self._ledger.transaction() as session:
            for row in await session.exec(select(ProverRow).where(col(ProverRow.id).in_(prover_ids))):
                row.status, row.updated_at = ProverStatus.OFFLINE.value, now
                session.add(row)
                session.add(ProverEventRow(prover_id=row.id, status=row.status, reason=reason, at=now))

    def _enrolled(self, spec: WorkerSpec, row: ProverRow | None, now: int) -> ProverRow:
        """The worker's row as it is when the worker is not heard yet."""
        if row is None:
            row = ProverRow(id=spec.id, kind=spec.kind, address=self.address(spec.id), created_at=now, updated_at=now)
        elif row.home not in ("", self._identities[spec.id].home):
            raise Conflict("W3B-8013", f"prover {spec.id} belongs to the workers of home folder {row.home}")
        elif row.address != self.address(spec.id):  # its key is another one: the chain does not know it
            row.address, row.register_tx, row.mirrored_status = self.address(spec.id), None, ""
        row.home = self._identities[spec.id].home
        return row

    def look(
        self,
        now: int,
        workers: Iterable[Worker],
        records: Mapping[str, ProverRecord],
        busy: Mapping[str, Sequence[str]],
        depths: Mapping[str, int],
    ) -> tuple[list[Prover], list[StatusChange]]:
        """The provers that are registered on chain, as the policy takes them, and what is to be written.

        Parameters: `now` on the steady clock; `busy` says for each prover with leases what it works on, in words;
        `depths` how many leases a worker of a kind may hold. Heartbeats are written once in `heartbeat_ms` each.
        """
        self._records = records
        provers, changes = [], []
        for worker in workers:
            record, work = records[worker.id], busy.get(worker.id, ())
            draining = record.draining or worker.id in self.leaving
            status, reason = prover_status(
                now,
                ready=worker.ready,
                heard=worker.heard,
                draining=draining,
                leased=bool(work),
                limits=self._limits,
            )
            if status is ProverStatus.OFFLINE and worker.error is not None:
                reason = str(worker.error)[:500]
            elif status is ProverStatus.BUSY:
                reason = busy_reason(work)
            self._note_idle(now, worker.id, status)
            idle_since = self._idle_since.get(worker.id, now)
            change = self._change(now, record, worker, status, reason)
            if change is not None:
                changes.append(change)
            if record.registration in REGISTERED:
                depth = depths.get(worker.kind, 1)
                provers.append(
                    Prover(
                        worker.id,
                        worker.kind,
                        status,
                        draining,
                        idle_since,
                        held=len(work),
                        depth=depth,
                        parties=record.parties,
                    )
                )
        return provers, changes

    def with_leases(self, changes: Iterable[StatusChange], leases: Iterable[Lease]) -> list[StatusChange]:
        """The changes of the last look, with each prover that gets a lease Busy from the same transaction on."""
        by_id = {change.prover_id: change for change in changes}
        for lease in leases:
            record = self._records[lease.prover_id]
            if record.status == ProverStatus.BUSY.value:
                continue
            before = by_id.get(record.id)
            facts = before or StatusChange(
                record.id, ProverStatus.IDLE, "", False, record.heartbeat_at, record.trust, record.node
            )
            reason = f"is assigned task {lease.task_id}"
            by_id[record.id] = replace(facts, status=ProverStatus.BUSY, reason=reason, is_news=True)
        return list(by_id.values())

    def _note_idle(self, now: int, prover_id: str, status: ProverStatus) -> None:
        if status is ProverStatus.IDLE:
            self._idle_since.setdefault(prover_id, now)
        else:
            self._idle_since.pop(prover_id, None)

    def _change(
        self, now: int, record: ProverRecord, worker: Worker, status: ProverStatus, reason: str
    ) -> StatusChange | None:
        is_news = record.status != status.value
        if status is ProverStatus.IDLE and record.status == ProverStatus.BUSY.value:
            is_news = now - self._idle_since[worker.id] >= IDLE_LINGER_MS
            status = status if is_news else ProverStatus.BUSY
        is_due = worker.heard_at - record.heartbeat_at >= self._limits.heartbeat_ms
        trust, node = (worker.trust, worker.node) if worker.ready else (record.trust, record.node)
        if not (is_news or is_due or (trust, node) != (record.trust, record.node)):
            return None
        heartbeat_at = max(record.heartbeat_at, worker.heard_at)
        return StatusChange(record.id, status, reason, is_news, heartbeat_at, trust, node)


def busy_reason(work: Sequence[str]) -> str:
    """Why a prover is Busy, in words."""
    return work[0] if len(work) == 1 else f"{work[0]} and {len(work) - 1} more"


def write_changes(connection: Connection, now: int, changes: Sequence[StatusChange]) -> None:
    """Bring the provers' rows and events up to date."""
    if not changes:
        return
    rows = [
        {
            "b_id": change.prover_id,
            "v_status": change.status.value,
            "v_heartbeat_at": change.heartbeat_at,
            "v_trust": change.trust,
            "v_node": change.node,
            "v_updated_at": now,
        }
        for change in changes
    ]
    names = [name for name in rows[0] if name.startswith("v_")]
    values: dict[str, BindParameter[Any]] = {name[2:]: bindparam(name) for name in names}
    connection.execute(update(PROVERS).where(PROVERS.c.id == bindparam("b_id")).values(values), rows)
    news = [
        {"prover_id": change.prover_id, "status": change.status.value, "reason": change.reason, "at": now}
        for change in changes
        if change.is_news
    ]
    if news:
        connection.execute(insert(PROVER_EVENTS), news)
