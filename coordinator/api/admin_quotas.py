"""The part of AdminService that sets how much a project may use."""

from __future__ import annotations

from collections.abc import Mapping

from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.access.quotas import OPEN_TASKS, PERIODS, limits, open_tasks, used
from coordinator.api import render
from coordinator.ledger.control_tables import QuotaRow
from coordinator.ledger.store import Ledger
from coordinator.projects.service import get_project
from verifier.errors import InvalidInput
from w3bstream.v1 import admin_pb2

MAX_ALLOWANCE = (1 << 63) - 1


class QuotaMethods:
    """Shows and sets quotas."""

    _ledger: Ledger
    _defaults: Mapping[str, int]

    async def ListQuotas(self, request: admin_pb2.ListQuotasRequest, context: object) -> admin_pb2.ListQuotasResponse:
        """What holds for the project, and what it has used."""
        async with self._ledger.reading() as session:
            await get_project(session, request.project_id)
            quotas = [await self._quota(session, request.project_id, resource) for resource in PERIODS]
        return admin_pb2.ListQuotasResponse(quotas=quotas)

    async def SetQuota(self, request: admin_pb2.SetQuotaRequest, context: object) -> admin_pb2.Quota:
        """Give the project a quota of its own, or take it away."""
        resource = request.resource
        if resource not in PERIODS:
            raise InvalidInput("W3B-7008", f"resource {resource[:40]!r}; there are {list(PERIODS)}", field="resource")
        if request.allowance > MAX_ALLOWANCE or (request.use_default and request.allowance):
            raise InvalidInput("W3B-7008", f"allowance {request.allowance} is out of range", field="allowance")
        async with self._ledger.transaction() as session:
            await get_project(session, request.project_id)
            row = await session.get(QuotaRow, (request.project_id, resource), populate_existing=True)
            if request.use_default and row is not None:
                await session.delete(row)
            if not request.use_default:
                row = row or QuotaRow(
                    project_id=request.project_id,
                    resource=resource,
                    allowance=0,
                    period_seconds=PERIODS[resource],
                    updated_at=0,
                )
                row.allowance, row.updated_at = request.allowance, self._ledger.clock()
                session.add(row)
            await session.flush()
            return await self._quota(session, request.project_id, resource)

    async def _quota(self, session: AsyncSession, project_id: int, resource: str) -> admin_pb2.Quota:
        held = (await limits(session, self._defaults, [project_id]))[project_id, resource]
        if resource == OPEN_TASKS:
            count, ends = await open_tasks(session, project_id), 0
        else:
            count, ends = await used(session, self._ledger.clock(), project_id, resource, held.period_seconds)
        return admin_pb2.Quota(
            project_id=project_id,
            resource=resource,
            allowance=held.allowance,
            period_seconds=held.period_seconds,
            own=held.own,
            used=count,
            period_ends_at=render.timestamp(ends or None),
        )
