"""Readings are checked before they are published; the intake checks them again."""

from __future__ import annotations

from collections.abc import Sequence

from sqlmodel import col, func, select

from coordinator.api.auth import Caller
from coordinator.api.surroundings import IntakeDoor, SignatureChecker
from coordinator.intake.admission import Admission
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import ProjectRow, ProjectVersionRow
from verifier.errors import Refused, W3bstreamError
from verifier.reading import Reading

MAX_CACHED = 256
"""Projects whose device sets are kept in memory; a set of 1,024 devices takes about 1 MiB."""

Verdict = Reading | W3bstreamError
"""The reading, or why it is refused."""


class ReadingCheck:
    """Checks readings as the intake will, against each project's newest published version."""

    def __init__(self, ledger: Ledger, intake: IntakeDoor, signatures: SignatureChecker) -> None:
        self._ledger = ledger
        self._intake = intake
        self._signatures = signatures
        self._cached: dict[int, tuple[tuple[str, int], Admission]] = {}

    async def admission(self, project_id: int) -> Admission:
        """What the project admits now. Raises NotFound (W3B-1006)."""
        stamp = await self._stamp(project_id)
        known = self._cached.get(project_id)
        if known is not None and known[0] == stamp:
            return known[1]
        admission = await self._intake.admission(project_id)
        if len(self._cached) >= MAX_CACHED:
            self._cached.pop(next(iter(self._cached)))
        self._cached[project_id] = (stamp, admission)
        return admission

    async def _stamp(self, project_id: int) -> tuple[str, int]:
        """What must be unchanged for a kept admission to hold."""
        query = (
            select(ProjectRow.state, func.max(ProjectVersionRow.version))
            .join(ProjectVersionRow, col(ProjectVersionRow.project_id) == col(ProjectRow.id))
            .where(ProjectRow.id == project_id, ProjectVersionRow.state == "PUBLISHED")
            .group_by(col(ProjectRow.id))
        )
        async with self._ledger.reading() as session:
            found = (await session.exec(query)).first()
        return (found[0], int(found[1])) if found else ("", 0)

    async def check(self, caller: Caller, messages: Sequence[bytes]) -> list[Verdict]:
        """A verdict for each message, in their order; nothing is raised for a bad one."""
        admissions: dict[int, Admission | W3bstreamError] = {}
        verdicts: list[Verdict] = []
        for data in messages:
            try:
                reading = Reading.from_wire(data)
                admission = await self._admission_for(caller, reading.project, admissions)
                verdicts.append(admission.decode(reading.subject(), data))
            except W3bstreamError as error:
                verdicts.append(error)
        await self._check_signatures(verdicts, admissions)
        return verdicts

    async def _admission_for(
        self, caller: Caller, project_id: int, admissions: dict[int, Admission | W3bstreamError]
    ) -> Admission:
        if project_id not in admissions:
            try:
                caller.require_project(project_id)
                admissions[project_id] = await self.admission(project_id)
            except W3bstreamError as error:
                admissions[project_id] = error
        found = admissions[project_id]
        if isinstance(found, W3bstreamError):
            raise found
        return found

    async def _check_signatures(
        self, verdicts: list[Verdict], admissions: dict[int, Admission | W3bstreamError]
    ) -> None:
        """Replace each verdict whose signature does not hold."""
        places, pairs = [], []
        for place, verdict in enumerate(verdicts):
            if isinstance(verdict, Reading):
                admission = admissions[verdict.project]
                assert isinstance(admission, Admission)
                places.append(place)
                pairs.append((verdict, admission.devices[verdict.device]))
        if not pairs:
            return
        for place, failure in zip(places, await self._signatures.check_signatures(pairs), strict=True):
            if failure is not None:
                verdicts[place] = Refused(failure[0], failure[1], field="signature")
