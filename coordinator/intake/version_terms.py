"""What the intake needs to know of a published project version, read from the ledger and the programs' manifests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.intake.admission import Admission
from coordinator.intake.windows import WindowTerms
from coordinator.ledger.tables import DeviceRow, ProjectRow, ProjectVersionRow
from coordinator.projects.programs import Manifest, manifest
from verifier.errors import NotFound
from verifier.reading import Device, KeyType

DEFAULT_DEADLINE_SECONDS = 3600


@dataclass(frozen=True)
class VersionTerms:
    """One project version, as the intake applies it."""

    project_id: int
    version: int
    devices: tuple[Device, ...]
    """In the project file's order."""
    admission: Admission
    windows: WindowTerms
    capacity: int
    """Leaves of the readings tree: the programs' capacity."""
    scheme: str
    device_set_root: bytes
    """32 bytes."""
    kinds: tuple[str, ...]
    threshold: int
    deadline_ms: int
    """From a window's closing to its task's deadline."""
    provenance: str
    """`in-proof` when every program's proof enforces the signatures, else `attested`."""
    confirm_kind: str = ""
    """The kind of the policy's second stage, one of `kinds`; empty where there is none."""
    confirm_within: int = 0
    """Seconds that the second stage may take."""


async def newest_version(session: AsyncSession, project_id: int) -> ProjectVersionRow | None:
    """The newest published version, or None before the first."""
    found = await session.exec(
        select(ProjectVersionRow)
        .where(ProjectVersionRow.project_id == project_id, ProjectVersionRow.state == "PUBLISHED")
        .order_by(col(ProjectVersionRow.version).desc())
        .limit(1)
    )
    return found.first()


async def entered_version(session: AsyncSession, project_id: int) -> ProjectVersionRow | None:
    """The newest version that the intake has entered: the one that the open window belongs to."""
    found = await session.exec(
        select(ProjectVersionRow)
        .where(ProjectVersionRow.project_id == project_id, ProjectVersionRow.first_position > 0)
        .order_by(col(ProjectVersionRow.version).desc())
        .limit(1)
    )
    return found.first()


async def load_terms(
    session: AsyncSession, row: ProjectVersionRow, programs: Mapping[str, Manifest] | None = None
) -> VersionTerms:
    """The terms of a version. Raises NotFound (W3B-2005) when one of its programs is no longer installed."""
    found = await session.exec(
        select(DeviceRow)
        .where(DeviceRow.project_id == row.project_id, DeviceRow.version == row.version)
        .order_by(col(DeviceRow.position))
    )
    devices = tuple(
        Device(_bytes(each.device), KeyType(each.key_type), _bytes(each.public_key), each.label) for each in found
    )
    manifests = [manifest(str(each["name"]), programs) for each in row.programs]
    in_proof = all(each.provenance == "in-proof" for each in manifests)
    window = row.config.get("window", {})
    assurance = row.config.get("assurance", {})
    return VersionTerms(
        row.project_id,
        row.version,
        devices,
        Admission(row.project_id, row.version, {each.device: each for each in devices}, manifests[0].payload),
        WindowTerms(int(window.get("readings", row.window_capacity)), row.window_max_age_ms),
        row.window_capacity,
        row.scheme,
        _bytes(row.device_set_root),
        tuple(str(each["kind"]) for each in row.programs),
        row.threshold,
        int(row.config.get("deadline_seconds", DEFAULT_DEADLINE_SECONDS)) * 1000,
        "in-proof" if in_proof else "attested",
        str(assurance.get("confirm", "")),
        int(assurance.get("confirm_within", 0)),
    )


async def load_admission(
    session: AsyncSession, project_id: int, programs: Mapping[str, Manifest] | None = None
) -> Admission:
    """What a project admits now. Raises NotFound (W3B-1006) when it does not exist, is paused or has no version yet."""
    project = await session.get(ProjectRow, project_id)
    if project is None:
        raise NotFound("W3B-1006", f"there is no project {project_id}", field="project")
    if project.state != "ACTIVE":
        raise NotFound("W3B-1006", f"project {project_id} is {project.state}", field="project")
    row = await newest_version(session, project_id)
    if row is None:
        raise NotFound(
            "W3B-1006",
            f"project {project_id} has no published version",
            field="project",
            next_step="Publish a project file, and wait until its transaction is mined.",
        )
    return (await load_terms(session, row, programs)).admission


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
