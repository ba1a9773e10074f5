"""One box for every id: what a text may mean, and where that is shown."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.explorer.access import Viewer
from coordinator.explorer.queries import transactions
from coordinator.explorer.queries.task import statement_digest
from coordinator.ledger.outbox_tables import OutboxTxRow, WebhookEndpointRow, WebhookMessageRow
from coordinator.ledger.tables import AttemptRow, DeviceRow, ProjectRow, ProverRow, TaskRow
from verifier.statement import Domain

SHOWN = 10
DIGESTS = 2_000
"""Newest proven attempts whose Statement digests are compared: digests are not stored."""
_HASH = re.compile(r"(0x)?[0-9a-f]{64}")
_ADDRESS = re.compile(r"(0x)?[0-9a-f]{40}")


def _hit(kind: str, text: str, href: str, note: str = "") -> dict[str, str]:
    return {"kind": kind, "text": text, "href": href, "note": note}


async def search(session: AsyncSession, viewer: Viewer, text: str, domain: Domain) -> list[dict[str, str]]:
    """[{kind, text, href, note}] of what the text names, the best first; at most ten of a kind."""
    lower = text.strip().lower()
    if not lower:
        return []
    hits: list[dict[str, str]] = []
    if _HASH.fullmatch(lower) and viewer.can("tasks:read"):
        hits += await _by_hash(session, viewer, "0x" + lower.removeprefix("0x"), domain)
    elif _ADDRESS.fullmatch(lower):
        hits += await _by_address(session, viewer, "0x" + lower.removeprefix("0x"))
    if lower.isdecimal() and len(lower) <= 15:
        hits += await _by_number(session, viewer, int(lower))
    if lower.startswith(("msg_", "ep_")) and viewer.can("webhooks:read"):
        hits += await _webhook(session, viewer, lower)
    if not _HASH.fullmatch(lower):
        hits += await _by_name(session, viewer, lower)
    if re.fullmatch(r"0x[0-9a-f]{4,63}", lower) and viewer.can("tasks:read"):
        hits += await _by_beginning(session, viewer, lower)
    return hits


async def _by_hash(session: AsyncSession, viewer: Viewer, value: str, domain: Domain) -> list[dict[str, str]]:
    task = await session.get(TaskRow, value)
    if task is not None and viewer.sees(task.project_id):
        return [_hit("task", value, f"/tasks/{value}", task.state)]
    tx = await transactions.find(session, value)
    if tx is not None and (await transactions.about(session, viewer, tx))["visible"]:
        return [_hit("transaction", value, f"/tx/{value}", f"{tx.purpose}, {tx.state}")]
    hits = []
    for name, column in (("readings root", TaskRow.readings_root), ("inputs", TaskRow.inputs)):
        rows = await session.exec(
            select(TaskRow.id).where(col(column) == value, *viewer.only(col(TaskRow.project_id))).limit(SHOWN)
        )
        hits += [_hit("task", each, f"/tasks/{each}", f"its {name}") for each in rows]
    if hits:
        return hits
    block = await session.exec(
        select(OutboxTxRow.block_number)
        .where(col(OutboxTxRow.block_number).is_not(None), OutboxTxRow.block_hash == value)
        .order_by(col(OutboxTxRow.id).desc())
        .limit(1)
    )
    if viewer.project_id is None and (number := block.first()) is not None:
        return [_hit("block", str(number), f"/blocks/{number}", "its hash")]
    return await _by_digest(session, viewer, value, domain)


async def _by_digest(session: AsyncSession, viewer: Viewer, value: str, domain: Domain) -> list[dict[str, str]]:
    rows = await session.exec(
        select(AttemptRow, TaskRow)
        .join(TaskRow, col(TaskRow.id) == col(AttemptRow.task_id))
        .where(AttemptRow.output != "", *viewer.only(col(TaskRow.project_id)))
        .order_by(col(AttemptRow.id).desc())
        .limit(DIGESTS)
    )
    for attempt, task in rows:
        if statement_digest(task, attempt, domain) == value:
            return [_hit("task", task.id, f"/tasks/{task.id}", f"Statement digest of attempt {attempt.id}")]
    return []


async def _by_address(session: AsyncSession, viewer: Viewer, value: str) -> list[dict[str, str]]:
    hits = []
    devices = await session.exec(
        select(DeviceRow.project_id, DeviceRow.label)
        .where(DeviceRow.device == value, *viewer.only(col(DeviceRow.project_id)))
        .distinct()
        .limit(SHOWN)
    )
    for project_id, label in devices:
        hits.append(_hit("device", value, f"/projects/{project_id}/readings?device={value}", label))
    hits.append(_hit("account", value, f"/accounts/{value}"))
    return hits


async def _by_number(session: AsyncSession, viewer: Viewer, number: int) -> list[dict[str, str]]:
    hits = []
    if viewer.can("projects:read") and number < 1 << 31 and viewer.sees(number):
        project = await session.get(ProjectRow, number)
        if project is not None:
            hits.append(_hit("project", project.name, f"/projects/{number}", f"project {number}"))
    if viewer.can("tasks:read"):
        hits.append(_hit("block", str(number), f"/blocks/{number}"))
    return hits


async def _webhook(session: AsyncSession, viewer: Viewer, text: str) -> list[dict[str, str]]:
    message = await session.get(WebhookMessageRow, text)
    if message is not None and viewer.sees(message.project_id):
        return [_hit("webhook message", text, f"/webhooks/messages/{text}", message.state)]
    endpoint = await session.get(WebhookEndpointRow, text)
    if endpoint is not None and viewer.sees(endpoint.project_id):
        return [_hit("webhook endpoint", text, f"/webhooks?endpoint={text}", endpoint.url)]
    return []


async def _by_name(session: AsyncSession, viewer: Viewer, text: str) -> list[dict[str, str]]:
    hits = []
    if viewer.can("projects:read"):
        query: Any = select(ProjectRow.id, ProjectRow.name, ProjectRow.state)
        query = query.where(col(ProjectRow.name).startswith(text, autoescape=True), *viewer.only(col(ProjectRow.id)))
        rows = await session.exec(query.order_by(col(ProjectRow.name)).limit(SHOWN))
        hits += [_hit("project", name, f"/projects/{number}", state) for number, name, state in rows]
    if viewer.can("provers:read"):
        provers = await session.exec(
            select(ProverRow.id, ProverRow.status)
            .where(col(ProverRow.id).startswith(text, autoescape=True))
            .order_by(col(ProverRow.id))
            .limit(SHOWN)
        )
        hits += [_hit("prover", name, f"/provers/{quote(name, safe='')}", status) for name, status in provers]
    return hits


async def _by_beginning(session: AsyncSession, viewer: Viewer, text: str) -> list[dict[str, str]]:
    """Tasks whose id begins so: a range of the primary key."""
    rows = await session.exec(
        select(TaskRow.id, TaskRow.state)
        .where(col(TaskRow.id) >= text, col(TaskRow.id) < text + "g", *viewer.only(col(TaskRow.project_id)))
        .order_by(col(TaskRow.id))
        .limit(SHOWN)
    )
    return [_hit("task", each, f"/tasks/{each}", state) for each, state in rows]
