"""ProjectService: projects and their versions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.api import render
from coordinator.api.auth import current_caller
from coordinator.api.idempotency import Once
from coordinator.api.paging import make_token, page_size, read_token
from coordinator.api.surroundings import Installation
from coordinator.ledger.outbox_tables import OutboxTxRow
from coordinator.ledger.proof_history import finished_proofs, provers_there
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import DeviceRow, ProjectVersionRow
from coordinator.projects import service
from coordinator.projects.file import parse_project_file
from coordinator.projects.programs import Manifest
from coordinator.scheduling.quote import SAMPLES, estimate, quote_kind
from coordinator.settlement.chain import Chain
from coordinator.webhooks.ssrf import UrlPolicy
from verifier.errors import InvalidInput, NotFound, W3bstreamError
from w3bstream.v1 import project_pb2, project_pb2_grpc

log = structlog.get_logger(__name__)
MAX_FILE = 1 << 20
"""Bytes of a project file; 1,024 devices take about 250 KiB."""


class ProjectService(project_pb2_grpc.ProjectServiceServicer):
    """Creates, publishes, pauses, resumes and shows projects.

    Parameters: `chain` is asked for the gas price of quotes; None where there is none to ask.
    """

    def __init__(
        self,
        ledger: Ledger,
        installation: Installation,
        urls: UrlPolicy,
        da: UrlPolicy,
        programs: Mapping[str, Manifest] | None = None,
        *,
        chain: Chain | None = None,
    ) -> None:
        self._ledger = ledger
        self._installation = installation
        self._urls = urls
        self._da = da
        self._programs = programs
        self._chain = chain

    async def CreateProject(self, request: project_pb2.CreateProjectRequest, context: object) -> project_pb2.Project:
        """Create a project; its id on chain is its id here."""
        caller = current_caller()
        caller.require_all_projects()
        once = Once(caller, "CreateProject", request)
        async with self._ledger.transaction() as session:
            answer = await once.answered(session, project_pb2.Project)
            if answer is not None:
                return answer
            now = self._ledger.clock()
            installation = self._installation
            row = await service.create_project(
                session, now, request.name, caller.key_id, deployment=installation.deployment, owner=installation.owner
            )
            answer = render.project(row)
            await once.store(session, now, answer)
        return answer

    async def PublishVersion(
        self, request: project_pb2.PublishVersionRequest, context: object
    ) -> project_pb2.ProjectVersion:
        """Publish the next version. Its programs are made ready first, which takes minutes for a new one."""
        caller = current_caller()
        caller.require_project(request.project_id)
        once = Once(caller, "PublishVersion", request)
        if len(request.file.encode()) > MAX_FILE:
            raise InvalidInput("W3B-7008", f"the project file is larger than {MAX_FILE} bytes", field="file")
        async with self._ledger.reading() as session:
            answer = await once.answered(session, project_pb2.ProjectVersion)
            if answer is not None:
                return answer
            await service.get_project(session, request.project_id)
        file = await asyncio.to_thread(parse_project_file, request.file, self._programs)
        prepared = await self._installation.prepare(file)
        async with self._ledger.transaction() as session:
            answer = await once.answered(session, project_pb2.ProjectVersion)
            if answer is not None:
                return answer
            now = self._ledger.clock()
            row = await service.publish_version(
                session,
                now,
                request.project_id,
                file,
                deployment=self._installation.deployment,
                prepared=prepared,
                webhooks=self._urls,
                da=self._da,
            )
            answer = render.project_version(row, len(file.devices), "")
            await once.store(session, now, answer)
        return answer

    async def PauseProject(self, request: project_pb2.PauseProjectRequest, context: object) -> project_pb2.Project:
        """Pause; once more changes nothing."""
        current_caller().require_project(request.project_id)
        async with self._ledger.transaction() as session:
            deployment = self._installation.deployment
            row = await service.pause_project(session, self._ledger.clock(), request.project_id, deployment)
        return render.project(row)

    async def ResumeProject(self, request: project_pb2.ResumeProjectRequest, context: object) -> project_pb2.Project:
        """Resume; once more changes nothing."""
        current_caller().require_project(request.project_id)
        async with self._ledger.transaction() as session:
            deployment = self._installation.deployment
            row = await service.resume_project(session, self._ledger.clock(), request.project_id, deployment)
        return render.project(row)

    async def GetProject(
        self, request: project_pb2.GetProjectRequest, context: object
    ) -> project_pb2.GetProjectResponse:
        """The project with all its versions, oldest first."""
        current_caller().require_project(request.project_id)
        async with self._ledger.reading() as session:
            row = await service.get_project(session, request.project_id)
            versions = await _versions(session, request.project_id)
        return project_pb2.GetProjectResponse(project=render.project(row), versions=versions)

    async def GetQuote(self, request: project_pb2.GetQuoteRequest, context: object) -> project_pb2.Quote:
        """What a task of the newest published version is likely to take."""
        current_caller().require_project(request.project_id)
        async with self._ledger.reading() as session:
            project = await service.get_project(session, request.project_id)
            if not project.version:
                raise NotFound("W3B-2003", f"project {request.project_id} has no published version", field="project_id")
            row = await service.get_version(session, request.project_id, project.version)
            kinds = [
                quote_kind(each["kind"], await finished_proofs(session, each["kind"], each["program_id"], SAMPLES))
                for each in row.programs
            ]
            there = await provers_there(session, [each.kind for each in kinds])
        # A fallback is started only when a deadline is at risk, and what confirms only when the result stands.
        assurance = row.config.get("assurance", {})
        others = {assurance.get("else"), assurance.get("confirm")}
        whole = estimate([each for each in kinds if each.kind not in others], row.threshold)
        return render.quote(row, kinds, there, whole, await self._gas_price())

    async def _gas_price(self) -> int | None:
        """Wei a gas now; None where the chain does not say."""
        if self._chain is None:
            return None
        try:
            block, fees = await self._chain.block("latest"), await self._chain.fees()
        except W3bstreamError as error:
            log.warning("quote_without_price", code=error.code)
            return None
        return None if block is None else block.base_fee + fees.tip

    async def ListProjects(
        self, request: project_pb2.ListProjectsRequest, context: object
    ) -> project_pb2.ListProjectsResponse:
        """A page of the projects that the key may see."""
        caller = current_caller()
        size, scope = page_size(request.page_size), ("ListProjects", caller.project_id)
        cursor = read_token(scope, request.page_token, (int,))
        async with self._ledger.reading() as session:
            after = int(cursor[0]) if cursor else 0
            # One row tells whether there is a next page; the room serves at most 200.
            rows = await service.list_projects(session, after=after, limit=size, only=caller.project_id)
            more = len(rows) == size and await service.list_projects(
                session, after=rows[-1].id or 0, limit=1, only=caller.project_id
            )
        return project_pb2.ListProjectsResponse(
            projects=[render.project(row) for row in rows],
            next_page_token=make_token(scope, (rows[-1].id or 0,)) if more else "",
        )


async def _versions(session: AsyncSession, project_id: int) -> list[project_pb2.ProjectVersion]:
    versions = await session.exec(
        select(ProjectVersionRow, OutboxTxRow.tx_hash)
        .outerjoin(OutboxTxRow, col(OutboxTxRow.id) == col(ProjectVersionRow.publish_tx))
        .where(ProjectVersionRow.project_id == project_id)
        .order_by(col(ProjectVersionRow.version))
    )
    counted = await session.exec(
        select(DeviceRow.version, func.count())
        .where(DeviceRow.project_id == project_id)
        .group_by(col(DeviceRow.version))
    )
    devices = dict(counted.all())
    return [render.project_version(row, devices.get(row.version, 0), tx_hash or "") for row, tx_hash in versions]
