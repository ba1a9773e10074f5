"""Projects, their versions and devices, how their intake stands, and what they have used of their quotas."""

from __future__ import annotations

from typing import Any

from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.api.paging import make_token, read_token
from coordinator.explorer.access import Viewer
from coordinator.explorer.queries import transactions
from coordinator.intake import status as intake_status
from coordinator.ledger.control_tables import QuotaRow, QuotaUseRow
from coordinator.ledger.tables import (
    DeviceCursorRow,
    DeviceRow,
    ProjectRow,
    ProjectVersionRow,
    StreamCursorRow,
    TaskRow,
)

PAGE_SIZE = 50
VERSIONS_SHOWN = 50
DEVICES_SHOWN = 1024


async def project_page(session: AsyncSession, viewer: Viewer, token: str) -> dict[str, Any]:
    """{projects, next_page}, newest first. Raises InvalidInput (W3B-7009)."""
    scope = ("explorer projects", viewer.project_id)
    cursor = read_token(scope, token, (int,))
    query = select(ProjectRow).where(*viewer.only(col(ProjectRow.id)))
    if cursor is not None:
        query = query.where(col(ProjectRow.id) < cursor[0])
    rows = (await session.exec(query.order_by(col(ProjectRow.id).desc()).limit(PAGE_SIZE + 1))).all()
    lines = [{"id": row.id, **row.model_dump(exclude={"id", "create_tx", "owner_key_id"})} for row in rows[:PAGE_SIZE]]
    counted = await session.exec(
        select(TaskRow.project_id, TaskRow.state, func.count())
        .where(col(TaskRow.project_id).in_([line["id"] for line in lines]))
        .group_by(col(TaskRow.project_id), col(TaskRow.state))
    )
    counts: dict[int, dict[str, int]] = {}
    for project, state, count in counted:
        counts.setdefault(project, {})[state] = int(count)
    stopped = await session.exec(
        select(StreamCursorRow.project_id, StreamCursorRow.stopped_code).where(
            col(StreamCursorRow.project_id).in_([line["id"] for line in lines])
        )
    )
    intake = dict(stopped.all())
    for line in lines:
        line["tasks"] = counts.get(line["id"], {})
        line["intake_code"] = intake.get(line["id"], "")
    return {"projects": lines, "next_page": make_token(scope, (lines[-1]["id"],)) if len(rows) > PAGE_SIZE else ""}


async def visible(session: AsyncSession, viewer: Viewer, project_id: int) -> ProjectRow | None:
    """The project, if there is one that the viewer may see."""
    row = await session.get(ProjectRow, project_id) if viewer.sees(project_id) else None
    return row


async def intake_of(session: AsyncSession, project_id: int) -> dict[str, Any]:
    """How the intake stands: the stream cursor, the open window, and why it stands still if it does."""
    row = await session.get(StreamCursorRow, project_id) or StreamCursorRow(project_id=project_id)
    return row.model_dump(exclude={"project_id"})


async def _quotas(session: AsyncSession, project_id: int) -> list[dict[str, Any]]:
    limits = await session.exec(select(QuotaRow).where(QuotaRow.project_id == project_id).limit(20))
    uses = await session.exec(select(QuotaUseRow).where(QuotaUseRow.project_id == project_id).limit(20))
    found = {row.resource: {"resource": row.resource, "allowance": row.allowance, "used": 0} for row in limits}
    for use in uses:
        line = found.setdefault(use.resource, {"resource": use.resource, "allowance": None})
        line.update(used=use.used, period_start_at=use.period_start)
    return sorted(found.values(), key=lambda line: str(line["resource"]))


async def _versions(session: AsyncSession, project_id: int) -> list[dict[str, Any]]:
    rows = (
        await session.exec(
            select(ProjectVersionRow)
            .where(ProjectVersionRow.project_id == project_id)
            .order_by(col(ProjectVersionRow.version).desc())
            .limit(VERSIONS_SHOWN)
        )
    ).all()
    txs = await transactions.by_ids(session, [row.publish_tx for row in rows])
    lines = []
    for row in rows:
        tx = txs.get(row.publish_tx or 0)
        line = row.model_dump(exclude={"file", "config", "project_id", "publish_tx"})
        line["assurance"] = str(row.config.get("assurance", ""))
        lines.append({**line, "tx_hash": tx.tx_hash if tx else "", "tx_state": tx.state if tx else ""})
    return lines


async def devices_of(session: AsyncSession, project_id: int, version: int) -> list[dict[str, Any]]:
    """The devices of a version in the device set's order, each with the highest sequence that was accepted."""
    rows = await session.exec(
        select(DeviceRow)
        .where(DeviceRow.project_id == project_id, DeviceRow.version == version)
        .order_by(col(DeviceRow.position))
        .limit(DEVICES_SHOWN)
    )
    cursors = await session.exec(
        select(DeviceCursorRow.device, DeviceCursorRow.last_sequence)
        .where(DeviceCursorRow.project_id == project_id)
        .limit(DEVICES_SHOWN * 4)
    )
    highest = dict(cursors.all())
    return [
        {**row.model_dump(exclude={"project_id", "version"}), "last_sequence": highest.get(row.device)} for row in rows
    ]


async def detail(session: AsyncSession, row: ProjectRow) -> dict[str, Any]:
    """The project with all about it but its lists of tasks and readings."""
    number = row.id or 0
    versions = await _versions(session, number)
    stats = await intake_status.stats(session, number)
    version = await session.get(ProjectVersionRow, (number, row.version))
    return {
        "project": row.model_dump(exclude={"create_tx"}),
        "versions": versions,
        "file": version.file if version is not None else "",
        "devices": await devices_of(session, number, row.version),
        "intake": await intake_of(session, number),
        "accepted": stats.accepted,
        "refused": stats.refused,
        "missing": stats.missing,
        "quotas": await _quotas(session, number),
    }
