"""The part of AdminService that shows the audit log."""

from __future__ import annotations

from sqlmodel import col, select

from coordinator.access.audit_chain import canonical
from coordinator.api import render
from coordinator.api.paging import make_token, page_size, read_token
from coordinator.ledger.control_tables import AuditRow
from coordinator.ledger.store import Ledger
from w3bstream.v1 import admin_pb2


def rendered(row: AuditRow) -> admin_pb2.AuditEntry:
    """The entry as administrators see it."""
    return admin_pb2.AuditEntry(
        id=row.id or 0,
        at=render.timestamp(row.at),
        actor=row.actor,
        action=row.action,
        subject=row.subject,
        project_id=row.project_id or 0,
        outcome=row.outcome,
        peer=row.peer,
        detail=canonical(row.detail),
        previous_hash=row.previous_hash,
        hash=row.hash,
    )


class AuditMethods:
    """Lists the log."""

    _ledger: Ledger

    async def ListAudit(self, request: admin_pb2.ListAuditRequest, context: object) -> admin_pb2.ListAuditResponse:
        """A page of entries."""
        size = page_size(request.page_size)
        scope = ("ListAudit", request.actor, request.action, request.project_id, request.oldest_first)
        cursor = read_token(scope, request.page_token, (int,))
        key = col(AuditRow.id)
        query = select(AuditRow).order_by(key.asc() if request.oldest_first else key.desc()).limit(size + 1)
        if request.actor:
            query = query.where(AuditRow.actor == request.actor)
        if request.action:
            query = query.where(AuditRow.action == request.action)
        if request.project_id:
            query = query.where(AuditRow.project_id == min(request.project_id, (1 << 31) - 1))
        if cursor:
            last = int(cursor[0])
            query = query.where(key > last if request.oldest_first else key < last)
        async with self._ledger.reading() as session:
            rows = list(await session.exec(query))
        page = rows[:size]
        token = make_token(scope, (page[-1].id or 0,)) if len(rows) > size else ""
        return admin_pb2.ListAuditResponse(entries=[rendered(row) for row in page], next_page_token=token)
