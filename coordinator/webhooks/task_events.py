"""The events about a task, made from the ledger inside the transaction that makes them true."""

from __future__ import annotations

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.tables import AttemptRow, ProjectVersionRow, ProverRow, TaskRow
from coordinator.ledger.transitions import AttemptState, Confirmation, TaskState
from coordinator.webhooks.event import (
    TASK_CONFIRMED,
    TASK_CONTRADICTED,
    TASK_EXPIRED,
    TASK_FAILED,
    TASK_FINAL,
    TASK_FROZEN,
    TASK_UNCONFIRMED,
    OutputsOf,
    Site,
    VerifiedProof,
    enqueue_task_event,
    task_data,
)
from verifier.finality_proof import FinalityProof
from verifier.statement import Domain, Statement

EVENT_OF = {
    TaskState.FINAL.value: TASK_FINAL,
    TaskState.FAILED.value: TASK_FAILED,
    TaskState.EXPIRED.value: TASK_EXPIRED,
    TaskState.FROZEN.value: TASK_FROZEN,
}
"""Task state to the event that tells of it; the other states are told by the API only."""
EVENT_OF_CONFIRMATION = {
    Confirmation.CONFIRMED.value: TASK_CONFIRMED,
    Confirmation.MISSED.value: TASK_UNCONFIRMED,
    Confirmation.CONTRADICTED.value: TASK_CONTRADICTED,
}
"""The same of a task's confirmation."""


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def statement_of(task: TaskRow, attempt: AttemptRow) -> Statement:
    """The Statement that the attempt's proof is about. Needs the attempt's output."""
    return Statement(
        project_id=task.project_id,
        project_version=task.version,
        task_id=_bytes(task.id),
        inputs=_bytes(task.inputs),
        output=_bytes(attempt.output),
        program_id=_bytes(attempt.program_id),
        prover=_bytes(attempt.prover_address),
    )


def due_events(task: TaskRow, now: int) -> list[str]:
    """What is to be told of a task at the moment at which its state or its confirmation moved."""
    state, confirmation = EVENT_OF.get(task.state), EVENT_OF_CONFIRMATION.get(task.confirmation)
    found = []
    if state is not None and (task.confirmation_at != now or task.updated_at == now):
        found.append(state)
    if confirmation is not None and task.confirmation_at == now and task.state != TaskState.FROZEN.value:
        found.append(confirmation)
    return found


class TaskEvents:
    """Enqueues the event that a task's new state calls for. An instance is the dispatcher's `TaskEnded`."""

    def __init__(self, site: Site, outputs_of: OutputsOf = lambda _name: None) -> None:
        self._site = site
        self._domain = Domain(site.chain_id, _bytes(site.router))
        self._outputs_of = outputs_of

    async def __call__(
        self, session: AsyncSession, now: int, task: TaskRow, proof: FinalityProof | None = None
    ) -> None:
        """Tell every endpoint that wants it: once per endpoint, event type, task, and time that it was put back.

        `proof` shows that the task's settlement is final.
        """
        wanted = due_events(task, now)
        if not wanted:
            return
        proofs, outputs = await self._proofs(session, task), await self._outputs(session, task)
        data = task_data(task, self._site, proofs, outputs, proof)
        for event_type in wanted:
            await enqueue_task_event(session, now, task, event_type, data)

    async def _proofs(self, session: AsyncSession, task: TaskRow) -> list[VerifiedProof]:
        attempts = await session.exec(
            select(AttemptRow, ProverRow.trust)
            .outerjoin(ProverRow, col(ProverRow.id) == col(AttemptRow.prover_id))
            .where(AttemptRow.task_id == task.id, AttemptRow.state == AttemptState.VERIFIED.value)
            .order_by(col(AttemptRow.id))
        )
        return [
            VerifiedProof(
                kind=attempt.kind,
                program_id=attempt.program_id,
                prover=attempt.prover_address,
                statement_digest="0x" + statement_of(task, attempt).digest(self._domain).hex(),
                trust=trust or "",
            )
            for attempt, trust in attempts
        ]

    async def _outputs(self, session: AsyncSession, task: TaskRow) -> list[str] | None:
        version = await session.get(ProjectVersionRow, (task.project_id, task.version))
        names = [str(program["name"]) for program in version.programs] if version is not None else []
        known = (self._outputs_of(name) for name in names)
        return next((list(outputs) for outputs in known if outputs is not None), None)
