"""Runs every comparison in turn; the one door for the API, the command line and `w3bstream chaos`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import structlog
from sqlmodel import col, select

from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import ProjectRow
from coordinator.observability.tally import compared
from coordinator.reconcile.chain_checks import ChainSide, check_chain
from coordinator.reconcile.ledger_checks import check_ledger
from coordinator.reconcile.positions import StreamView, check_positions
from coordinator.reconcile.report import InvariantReport
from verifier.errors import NotFound, W3bstreamError

logger = structlog.get_logger(__name__)
StreamOf = Callable[[int], Awaitable[StreamView]]
"""The DA layer of a project; raises Unavailable (W3B-1008), NotFound (W3B-1006) where it has none yet."""


@dataclass(frozen=True)
class Progress:
    """How far a comparison is."""

    stage: str
    """What is compared now."""
    done: int
    """Things compared so far."""
    report: InvariantReport | None = None
    """Set in the last one."""


class Reconciler:
    """Compares one installation.

    Parameters: `stream_of` finds a project's stream, None compares without streams; `chain` is where the chain is, None
    compares without one. Both appear in the report's `left_out` when they are missing or do not answer.
    """

    def __init__(self, ledger: Ledger, *, stream_of: StreamOf | None = None, chain: ChainSide | None = None) -> None:
        self._ledger = ledger
        self._stream_of = stream_of
        self._chain = chain

    async def run(self, project_id: int | None = None) -> InvariantReport:
        """The report about one project, or all of them. Raises NotFound (W3B-2002)."""
        async for progress in self.steps(project_id):
            if progress.report is not None:
                return progress.report
        raise AssertionError("the last step holds the report")

    async def steps(self, project_id: int | None = None) -> AsyncIterator[Progress]:
        """Each stage as it begins, and at last the report. Raises NotFound (W3B-2002)."""
        report = InvariantReport(self._ledger.clock())
        projects = await self._projects(project_id)
        yield Progress("ledger", 0)
        await check_ledger(self._ledger, report, project_id)
        for number, project in enumerate(projects):
            yield Progress(f"stream of project {project} ({number + 1} of {len(projects)})", report.checked.total())
            await self._positions(report, project)
        yield Progress("chain", report.checked.total())
        await self._compare_chain(report, project_id)
        if project_id is None:
            compared(report.counts())
        logger.info("reconciled", breaks=report.found, left_out=len(report.left_out), codes=dict(report.counts()))
        yield Progress("done", report.checked.total(), report)

    async def _projects(self, project_id: int | None) -> list[int]:
        async with self._ledger.reading() as session:
            if project_id is not None:
                if await session.get(ProjectRow, project_id) is None:
                    raise NotFound("W3B-2002", f"there is no project {project_id}", field="project_id")
                return [project_id]
            found = await session.exec(select(ProjectRow.id).order_by(col(ProjectRow.id)))
            return [each for each in found if each is not None]

    async def _positions(self, report: InvariantReport, project_id: int) -> None:
        """A stream that does not answer is left out, and the ledger's side is compared alone."""
        stream, part = None, f"stream of project {project_id}"
        try:
            stream = await self._stream_of(project_id) if self._stream_of is not None else None
        except W3bstreamError as error:
            report.left_out[part] = str(error)
        before = (report.found, len(report.breaks), report.checked.copy())
        try:
            await check_positions(self._ledger, report, project_id, stream)
        except W3bstreamError as error:
            report.found, report.checked = before[0], before[2]
            del report.breaks[before[1] :]
            report.left_out[part] = str(error)

    async def _compare_chain(self, report: InvariantReport, project_id: int | None) -> None:
        if self._chain is None:
            report.left_out["chain"] = "this installation has none"
            return
        try:
            await check_chain(self._ledger, self._chain, report, project_id)
        except W3bstreamError as error:
            report.left_out["chain"] = str(error)
