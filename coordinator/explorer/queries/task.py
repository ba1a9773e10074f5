"""One task with everything about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.api.program_outputs import OutputsOf, outputs_by_version
from coordinator.explorer.access import Viewer
from coordinator.explorer.chain_view import Heads
from coordinator.explorer.queries import transactions, webhooks
from coordinator.explorer.queries.tasks import COUNTED, project_names
from coordinator.explorer.waits import AttemptSituation, Situation, TxSituation
from coordinator.ledger.history_tables import RerunRow
from coordinator.ledger.outbox_tables import OutboxTxRow
from coordinator.ledger.stages import STAGES, Step, stage_lengths
from coordinator.ledger.tables import AttemptRow, ProjectRow, ProverRow, TaskEventRow, TaskRow
from coordinator.ledger.transitions import LIVE_ATTEMPT_STATES, TERMINAL_TASK_STATES, AttemptState, TaskState
from verifier.errors import W3bstreamError
from verifier.outputs import decode_outputs
from verifier.statement import Domain, Statement

EVENTS_SHOWN = 200
ATTEMPTS_SHOWN = 100
_PROVEN = (AttemptState.PROVED, AttemptState.POSTED, AttemptState.VERIFIED)
_MINED = ("MINED", "SAFE", "FINAL")


async def visible(session: AsyncSession, viewer: Viewer, task_id: str) -> TaskRow | None:
    """The task, if there is one that the viewer may see."""
    row = await session.get(TaskRow, task_id)
    return row if row is not None and viewer.sees(row.project_id) else None


async def attempts_of(session: AsyncSession, task_id: str) -> list[AttemptRow]:
    """The newest attempts of a task, oldest first."""
    rows = await session.exec(
        select(AttemptRow)
        .where(AttemptRow.task_id == task_id)
        .order_by(col(AttemptRow.id).desc())
        .limit(ATTEMPTS_SHOWN)
    )
    return list(reversed(rows.all()))


async def timeline_of(session: AsyncSession, task_id: str) -> list[TaskEventRow]:
    """The newest lines of a task's timeline, oldest first."""
    rows = await session.exec(
        select(TaskEventRow)
        .where(TaskEventRow.task_id == task_id)
        .order_by(col(TaskEventRow.id).desc())
        .limit(EVENTS_SHOWN)
    )
    return list(reversed(rows.all()))


async def _tx_situation(session: AsyncSession, row: OutboxTxRow | None) -> TxSituation | None:
    if row is None:
        return None
    ahead = 0
    if row.state == "QUEUED":
        inner = (
            select(OutboxTxRow.id)
            .where(OutboxTxRow.state == "QUEUED", col(OutboxTxRow.id) < row.id)
            .limit(COUNTED)
            .subquery()
        )
        ahead = int((await session.exec(select(func.count()).select_from(inner))).one())
    return TxSituation(row.id or 0, row.state, ahead, row.tries, row.block_number, row.code, row.reason)


async def _queue_ahead(session: AsyncSession, task: TaskRow) -> int:
    """OPEN tasks without a live attempt that were made before this one, counted up to `COUNTED`."""
    live = (
        select(AttemptRow.id)
        .where(col(AttemptRow.task_id) == col(TaskRow.id), col(AttemptRow.state).in_(sorted(LIVE_ATTEMPT_STATES)))
        .correlate(TaskRow)
        .exists()
    )
    inner = (
        select(TaskRow.id)
        .where(TaskRow.state == TaskState.OPEN.value, col(TaskRow.created_at) < task.created_at, ~live)
        .limit(COUNTED)
        .subquery()
    )
    return int((await session.exec(select(func.count()).select_from(inner))).one())


async def _provers_by_status(session: AsyncSession, kinds: Sequence[str]) -> dict[str, int]:
    rows = await session.exec(
        select(ProverRow.status, func.count())
        .where(col(ProverRow.kind).in_(kinds), col(ProverRow.draining).is_(False))
        .group_by(col(ProverRow.status))
    )
    return {status: int(count) for status, count in rows}


async def situation(
    session: AsyncSession,
    now: int,
    task: TaskRow,
    attempts: Sequence[AttemptRow],
    *,
    txs: dict[int, OutboxTxRow],
    heads: Heads,
    attempt_cap: int,
    finality_depth: int,
) -> Situation:
    """All that `waits.explain` needs to know of a task."""
    state = TaskState(task.state)
    live = []
    for each in attempts if state not in TERMINAL_TASK_STATES else ():
        if each.state in LIVE_ATTEMPT_STATES and each.kind != task.confirm_kind:
            assign = await _tx_situation(session, txs.get(each.assign_tx or 0))
            settle = await _tx_situation(session, txs.get(each.settle_tx or 0))
            lease = (each.lease_expires_at - now) / 1000
            live.append(
                AttemptSituation(
                    AttemptState(each.state),
                    each.kind,
                    each.prover_id,
                    each.stage,
                    each.progress,
                    lease,
                    assign,
                    settle,
                )
            )
    queued = state is TaskState.OPEN and not live
    project = await session.get(ProjectRow, task.project_id)
    kinds = [kind for kind in task.kinds if kind != task.confirm_kind]
    provers = await _provers_by_status(session, kinds) if state is TaskState.OPEN else {}
    return Situation(
        state=state,
        code=task.code,
        reason=task.reason,
        kinds=tuple(kinds),
        threshold=task.threshold,
        proofs=sum(each.state in _PROVEN and each.kind != task.confirm_kind for each in attempts),
        pause_seconds=(task.next_attempt_at - now) / 1000,
        deadline_seconds=(task.deadline_at - now) / 1000,
        attempts_used=task.attempts_used,
        attempt_cap=attempt_cap,
        project_paused=project is not None and project.state == "PAUSED",
        queue_ahead=await _queue_ahead(session, task) if queued else 0,
        idle=provers.get("IDLE", 0),
        busy=provers.get("BUSY", 0),
        offline=provers.get("OFFLINE", 0),
        record=await _tx_situation(session, txs.get(task.record_tx or 0)),
        live=tuple(live),
        block_number=task.block_number,
        head=heads.latest.number if heads.latest else None,
        final=heads.final,
        finality_depth=finality_depth,
        finality_source=task.finality_source,
        confirmation=task.confirmation,
        confirm_kind=task.confirm_kind,
        confirm_seconds=0.0 if task.confirm_by is None else (task.confirm_by - now) / 1000,
    )


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def statement_digest(task: TaskRow, attempt: AttemptRow, domain: Domain) -> str:
    """EIP-712 digest of the Statement that an attempt proves; empty before its output is known or where a field of it
    is malformed."""
    try:
        task_id, inputs, output, program = map(_bytes, (task.id, task.inputs, attempt.output, attempt.program_id))
        prover = _bytes(attempt.prover_address)
    except ValueError:
        return ""
    if any(len(each) != 32 for each in (task_id, inputs, output, program)) or len(prover) != 20:
        return ""
    statement = Statement(task.project_id, task.version, task_id, inputs, output, program, prover)
    return "0x" + statement.digest(domain).hex()


def attempt_line(task: TaskRow, row: AttemptRow, domain: Domain, trust: str) -> dict[str, Any]:
    """An attempt as pages show it; the proof by its length only, and its prover's `trust` anchor in words."""
    return {
        **row.model_dump(exclude={"proof", "public_output", "task_id"}),
        "proof_bytes": len(row.proof or b""),
        "statement": statement_digest(task, row, domain) if row.output else "",
        "trust": trust,
    }


async def trust_of(session: AsyncSession, attempts: Sequence[AttemptRow]) -> dict[str, str]:
    """The trust anchors of the attempts' provers, in words, by the provers' ids."""
    ids = {each.prover_id for each in attempts}
    rows = await session.exec(select(ProverRow.id, ProverRow.trust).where(col(ProverRow.id).in_(ids)))
    return dict(rows.all())


def decoded(outputs: Sequence[str] | None, task: TaskRow) -> list[dict[str, str]]:
    """The public output by name; empty where it, or the program that names it, is not known."""
    if outputs is None or task.public_output is None:
        return []
    try:
        return [vars(each) for each in decode_outputs(outputs, task.public_output)]
    except W3bstreamError:  # the installed program is not the one that was proven: the hash stands on the page
        return []


def _transactions(task: TaskRow, attempts: Sequence[AttemptRow], txs: dict[int, OutboxTxRow]) -> list[dict[str, Any]]:
    purposes: list[tuple[str, int | None]] = [("record", task.record_tx)]
    for each in attempts:
        purposes += [("assign", each.assign_tx), ("settle", each.settle_tx)]
    shown = list(dict.fromkeys((purpose, tx) for purpose, tx in purposes if tx in txs))
    return [
        {
            **transactions.line(txs[tx]),
            "role": purpose,
            "ladder": transactions.ladder(txs[tx]),
            "shared_by": max(1, len(txs[tx].ref.get("tasks", ())) + len(txs[tx].ref.get("assignments", ()))),
        }
        for purpose, tx in shown
        if tx is not None
    ]


def _cost(lines: Sequence[dict[str, Any]]) -> dict[str, int | None]:
    """Gas of this task alone: its settlements, and its share of the batches that it stood in."""
    unique = {each["id"]: each for each in lines if each["gas_used"] is not None}
    prices = [each["most_wei"] // each["shared_by"] for each in unique.values() if each["most_wei"] is not None]
    return {
        "gas": sum(each["gas_used"] // each["shared_by"] for each in unique.values()),
        "most_wei": sum(prices) if unique and len(prices) == len(unique) else None,
    }


def _assurance(task: TaskRow, attempts: Sequence[AttemptRow]) -> list[dict[str, Any]]:
    """For each kind that may prove the task, how far its best attempt came."""
    order = [AttemptState.VERIFIED, AttemptState.POSTED, AttemptState.PROVED, AttemptState.PROVING]
    found = []
    for kind in task.kinds:
        states = [each.state for each in attempts if each.kind == kind]
        best = next((state.value for state in order if state in states), states[-1] if states else "")
        confirms = kind == task.confirm_kind
        line = {"kind": kind, "attempts": len(states), "best": best, "proven": best in _PROVEN, "confirms": confirms}
        found.append(line)
    return found


def stage_rows(
    now: int, task: TaskRow, attempts: Sequence[AttemptRow], events: Sequence[TaskEventRow]
) -> list[dict[str, Any]]:
    """[{name, meaning, ms, running}] of the stages that are over, and of the one under way; the attempt that counts is
    the verified one, or the latest that is live: a lost one puts the task back into the queue."""
    verified = [each.id for each in attempts if each.state == AttemptState.VERIFIED]
    live = [each.id for each in attempts if each.state in LIVE_ATTEMPT_STATES]
    counts = next(iter([*verified, *reversed(live)]), None)
    steps = (Step(each.subject, each.target, each.attempt_id, each.at) for each in events)
    lengths = stage_lengths(task.first_reading_at, steps, counts)
    rows = [
        {"name": name, "meaning": why, "ms": lengths[name], "running": False} for name, why in STAGES if name in lengths
    ]
    if task.state not in TERMINAL_TASK_STATES and len(rows) < len(STAGES):
        name, why = STAGES[len(rows)]
        so_far = max(0.0, now - task.first_reading_at - sum(lengths.values()))
        rows.append({"name": name, "meaning": why, "ms": so_far, "running": True})
    return rows


async def detail(
    session: AsyncSession,
    viewer: Viewer,
    now: int,
    task: TaskRow,
    *,
    outputs_of: OutputsOf,
    domain: Domain,
    heads: Heads,
    attempt_cap: int,
    finality_depth: int,
) -> tuple[dict[str, Any], Situation]:
    """The page's data but for the words of why, and what these follow from."""
    attempts = await attempts_of(session, task.id)
    events = await timeline_of(session, task.id)
    ids = [task.record_tx, *(each.assign_tx for each in attempts), *(each.settle_tx for each in attempts)]
    txs = await transactions.by_ids(session, ids)
    outputs = (await outputs_by_version(session, [task], outputs_of))[task.project_id, task.version]
    lines = _transactions(task, attempts, txs)
    reruns = await session.exec(
        select(RerunRow).where(RerunRow.task_id == task.id).order_by(col(RerunRow.id).desc()).limit(20)
    )
    names = await project_names(session, [task.project_id])
    trust = await trust_of(session, attempts)
    data = {
        "task": {
            **task.model_dump(exclude={"public_output", "record_tx", "next_fence", "next_attempt_at", "trace"}),
            "project": names.get(task.project_id, ""),
            "public_output": None if task.public_output is None else "0x" + task.public_output.hex(),
        },
        "result": decoded(outputs, task),
        "stages": stage_rows(now, task, attempts, events),
        "assurance": _assurance(task, attempts),
        "attempts": [attempt_line(task, each, domain, trust.get(each.prover_id, "")) for each in attempts],
        "transactions": lines,
        "cost": _cost(lines),
        "timeline": [each.model_dump(exclude={"task_id", "project_id"}) for each in events],
        "reruns": [each.model_dump(exclude={"public_output", "fence", "lease_expires_at"}) for each in reruns],
        "deliveries": await webhooks.of_task(session, task) if viewer.can("webhooks:read") else None,
        "head": heads.latest.number if heads.latest else None,
        "final_block": heads.final,
        "chain_error": heads.error,
    }
    now_is = await situation(
        session,
        now,
        task,
        attempts,
        txs=txs,
        heads=heads,
        attempt_cap=attempt_cap,
        finality_depth=finality_depth,
    )
    return data, now_is
