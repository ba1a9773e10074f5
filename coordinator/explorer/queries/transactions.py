"""Transactions of the outbox, the finality ladder, blocks, and who may see them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import rlp
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.api.paging import make_token, read_token
from coordinator.explorer.access import Viewer
from coordinator.ledger.history_tables import TxEventRow
from coordinator.ledger.outbox_tables import OutboxTxRow
from coordinator.ledger.tables import AttemptRow, TaskRow

PAGE_SIZE = 50
EVENTS_SHOWN = 100
REFS_SHOWN = 64
LADDER = ("QUEUED", "SENT", "MINED", "SAFE", "FINAL")
PURPOSES = {
    "create_project": "Creates a project in ProjectRegistry",
    "publish_version": "Publishes a project version in ProjectRegistry",
    "pause": "Pauses a project",
    "resume": "Resumes a project",
    "register_prover": "Registers provers in FleetManagement",
    "register_key": "Gives a program's verifying key to its verifier",
    "store_collateral": "Brings Intel's collateral to the store that SGX and TDX quotes are verified with",
    "register_session_key": "Registers a TEE prover's session key, with its evidence",
    "apply_batch": "Records tasks, assignments and prover statuses in FleetManagement",
    "settle": "Proves a task to the Router, which settles it",
    "retry_dapp": "Calls a task's dApp once more",
    "deploy": "Deploys the contracts",
}
_TYPE_2 = 2
_COLUMNS = (
    "id",
    "purpose",
    "to",
    "state",
    "reorgs",
    "sender",
    "nonce",
    "tx_hash",
    "block_number",
    "gas_used",
    "tries",
    "code",
    "reason",
    "created_at",
    "updated_at",
)


def most_wei(raw: bytes | None, gas_used: int | None) -> int | None:
    """The most that the transaction can have cost, in wei: gas used times `maxFeePerGas` (EIP-1559, EIP-2718)."""
    if not raw or gas_used is None or raw[0] != _TYPE_2:
        return None
    try:
        fields = rlp.decode(raw[1:])
        return int.from_bytes(fields[3], "big") * gas_used
    except (rlp.exceptions.DecodingError, IndexError, TypeError):
        return None


def line(row: OutboxTxRow) -> dict[str, Any]:
    """A transaction as lists show it."""
    found = {name: getattr(row, name) for name in _COLUMNS}
    return {**found, "what": PURPOSES.get(row.purpose, row.purpose), "most_wei": most_wei(row.raw, row.gas_used)}


def ladder(row: OutboxTxRow) -> list[dict[str, Any]]:
    """The steps of the ladder with what is reached: `done`, `now` or `ahead`; REFUSED ends it."""
    if row.state == "REFUSED":
        return [{"name": "QUEUED", "is": "done"}, {"name": "REFUSED", "is": "bad"}]
    place = LADDER.index(row.state) if row.state in LADDER else 0
    marks = ["done" if at < place or row.state == "FINAL" else "now" if at == place else "ahead" for at in range(5)]
    return [{"name": name, "is": mark} for name, mark in zip(LADDER, marks, strict=True)]


async def by_ids(session: AsyncSession, ids: Iterable[int | None]) -> dict[int, OutboxTxRow]:
    """Transactions by outbox id."""
    wanted = {number for number in ids if number is not None}
    rows = await session.exec(select(OutboxTxRow).where(col(OutboxTxRow.id).in_(wanted)))
    return {int(row.id or 0): row for row in rows}


async def find(session: AsyncSession, tx_hash: str) -> OutboxTxRow | None:
    """The transaction of a hash, also of one that was replaced by a higher fee."""
    found = (await session.exec(select(OutboxTxRow).where(col(OutboxTxRow.tx_hash) == tx_hash).limit(1))).first()
    if found is not None:
        return found
    event = (await session.exec(select(TxEventRow).where(col(TxEventRow.tx_hash) == tx_hash).limit(1))).first()
    return await session.get(OutboxTxRow, event.tx_id) if event is not None else None


async def about(session: AsyncSession, viewer: Viewer, row: OutboxTxRow) -> dict[str, Any]:
    """{tasks, attempts, provers, project_id, shown}: what a transaction is about, as far as the viewer may see it."""
    ref = row.ref
    task_ids = [str(each) for each in [*ref.get("tasks", ()), ref.get("task_id")] if each][:REFS_SHOWN]
    attempt_ids = [int(each) for each in [*ref.get("assignments", ()), ref.get("attempt_id")] if each][:REFS_SHOWN]
    rows = await session.exec(
        select(AttemptRow.id, AttemptRow.task_id, AttemptRow.prover_id, AttemptRow.kind).where(
            col(AttemptRow.id).in_(attempt_ids)
        )
    )
    attempts = [dict(zip(("id", "task_id", "prover_id", "kind"), each, strict=True)) for each in rows]
    names = {*task_ids, *(str(each["task_id"]) for each in attempts)}
    found = await session.exec(
        select(TaskRow.id, TaskRow.project_id, TaskRow.state).where(
            col(TaskRow.id).in_(names), *viewer.only(col(TaskRow.project_id))
        )
    )
    seen = {task: {"id": task, "project_id": project, "state": state} for task, project, state in found}
    project_id = ref.get("project_id")
    return {
        "tasks": [seen[each] for each in task_ids if each in seen],
        "attempts": [each for each in attempts if each["task_id"] in seen],
        "statuses": list(ref.get("statuses", ()))[:REFS_SHOWN] if viewer.project_id is None else [],
        "provers": list(ref.get("provers", ()))[:REFS_SHOWN] if viewer.project_id is None else [],
        "project_id": project_id if project_id is not None and viewer.sees(project_id) else None,
        "version": ref.get("version"),
        "program": ref.get("program", ""),
        "visible": viewer.project_id is None or bool(seen) or project_id == viewer.project_id,
    }


async def history(session: AsyncSession, tx_id: int) -> list[dict[str, Any]]:
    """The transaction's steps on the ladder, oldest first."""
    rows = await session.exec(
        select(TxEventRow).where(TxEventRow.tx_id == tx_id).order_by(col(TxEventRow.id)).limit(EVENTS_SHOWN)
    )
    return [each.model_dump(exclude={"tx_id"}) for each in rows]


async def blocks(session: AsyncSession, viewer: Viewer, token: str) -> dict[str, Any]:
    """{blocks, next_page}: the blocks that hold our transactions, newest first.

    A key of one project sees the blocks that settled its tasks. Raises InvalidInput (W3B-7009).
    """
    scope = ("explorer blocks", viewer.project_id)
    cursor = read_token(scope, token, (int,))
    table: Any = OutboxTxRow if viewer.project_id is None else TaskRow
    number = col(table.block_number)
    gas = func.sum(OutboxTxRow.gas_used) if viewer.project_id is None else func.sum(0)
    query: Any = select(number, func.count(), gas).where(number.is_not(None))
    if viewer.project_id is not None:
        query = query.where(TaskRow.project_id == viewer.project_id)
    if cursor is not None:
        query = query.where(number < cursor[0])
    rows = (await session.exec(query.group_by(number).order_by(number.desc()).limit(PAGE_SIZE + 1))).all()
    lines = [
        {"number": each, "transactions": int(count), "gas_used": None if used is None else int(used)}
        for each, count, used in rows[:PAGE_SIZE]
    ]
    more = len(rows) > PAGE_SIZE
    return {"blocks": lines, "next_page": make_token(scope, (lines[-1]["number"],)) if more else ""}


async def in_block(session: AsyncSession, viewer: Viewer, number: int) -> list[dict[str, Any]]:
    """Our transactions in a block that the viewer may see, at most 100."""
    rows = await session.exec(
        select(OutboxTxRow).where(col(OutboxTxRow.block_number) == number).order_by(col(OutboxTxRow.id)).limit(100)
    )
    shown = []
    for row in rows.all():
        what = await about(session, viewer, row)
        if what["visible"]:
            shown.append({**line(row), "about": what})
    return shown


async def recent(session: AsyncSession, limit: int) -> list[dict[str, Any]]:
    """The newest transactions of the outbox: for keys of every project."""
    rows = await session.exec(select(OutboxTxRow).order_by(col(OutboxTxRow.id).desc()).limit(limit))
    return [line(row) for row in rows]


async def gas_of_settlements(session: AsyncSession, viewer: Viewer, limit: int = 40) -> list[dict[str, Any]]:
    """[{task_id, gas_used, at}] of the newest settlements, oldest first."""
    query: Any = (
        select(OutboxTxRow.ref, OutboxTxRow.gas_used, OutboxTxRow.updated_at)
        .where(OutboxTxRow.purpose == "settle", col(OutboxTxRow.gas_used).is_not(None))
        .order_by(col(OutboxTxRow.id).desc())
        .limit(limit)
    )
    rows = [(str(ref.get("task_id", "")), int(gas), at) for ref, gas, at in await session.exec(query)]
    if viewer.project_id is not None:
        own = await session.exec(
            select(TaskRow.id).where(
                col(TaskRow.id).in_([task for task, _, _ in rows]), TaskRow.project_id == viewer.project_id
            )
        )
        seen = set(own.all())
        rows = [each for each in rows if each[0] in seen]
    return [{"task_id": task, "gas_used": gas, "at": at} for task, gas, at in reversed(rows)]
