"""What evidence takes from the ledger: the task, its readings and devices, proofs, and where its transactions are."""

from __future__ import annotations

from dataclasses import dataclass

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.outbox_tables import DeploymentRow, OutboxTxRow
from coordinator.ledger.store import get_task
from coordinator.ledger.tables import AttemptRow, DeviceRow, ProjectVersionRow, ReadingRow, TaskRow
from coordinator.ledger.transitions import AttemptState, TaskState
from verifier.commitment import scheme
from verifier.errors import Conflict, NotFound
from verifier.reading import Device, KeyType, Reading

SETTLED = (TaskState.SETTLED.value, TaskState.FINAL.value)


@dataclass(frozen=True)
class Facts:
    """The ledger's part of one evidence file, read in one transaction."""

    task: TaskRow
    version: ProjectVersionRow
    genesis: str
    """Hash of block 0, 0x hex."""
    devices: tuple[Device, ...]
    """The whole set, in the project file's order; empty where no reading is asked for."""
    readings: tuple[Reading, ...]
    """The window's, in the commitment's order; likewise."""
    attempts: tuple[AttemptRow, ...]
    """Those with a proof, the verified ones first."""
    recorded_in: int | None
    """Block in which the ledger saw the task's record mined, if it did."""
    published_in: int | None
    """Likewise the version's publication."""


def require_settled(task: TaskRow) -> None:
    """Raises Conflict (W3B-9001) for a task without a settlement."""
    if task.state not in SETTLED or task.block_number is None:
        raise Conflict("W3B-9001", f"task {task.id} is {task.state}", field="task_id")


async def load_facts(session: AsyncSession, task_id: str, *, readings: bool) -> Facts:
    """The facts about a settled task.

    Raises NotFound (W3B-3003, W3B-2003) and Conflict (W3B-9001).
    """
    task = await get_task(session, task_id)
    require_settled(task)
    version = await session.get(ProjectVersionRow, (task.project_id, task.version))
    if version is None:
        raise NotFound("W3B-2003", f"project {task.project_id} has no version {task.version}", field="version")
    deployment = (await session.exec(select(DeploymentRow))).one()
    devices: tuple[Device, ...] = ()
    ordered: tuple[Reading, ...] = ()
    if readings:
        wires = await session.exec(select(ReadingRow.wire).where(ReadingRow.task_id == task.id))
        devices = await _device_set(session, task.project_id, task.version)
        ordered = scheme(version.scheme).order_readings([Reading.from_wire(wire) for wire in wires], devices)
    attempts = await session.exec(
        select(AttemptRow)
        .where(AttemptRow.task_id == task.id, col(AttemptRow.proof).is_not(None))
        .order_by(col(AttemptRow.state) != AttemptState.VERIFIED.value, col(AttemptRow.id))
    )
    return Facts(
        task,
        version,
        deployment.genesis_hash,
        devices,
        ordered,
        tuple(attempts),
        await _mined_in(session, task.record_tx),
        await _mined_in(session, version.publish_tx),
    )


async def _device_set(session: AsyncSession, project_id: int, version: int) -> tuple[Device, ...]:
    rows = await session.exec(
        select(DeviceRow)
        .where(DeviceRow.project_id == project_id, DeviceRow.version == version)
        .order_by(col(DeviceRow.position))
    )
    return tuple(
        Device(bytes.fromhex(row.device[2:]), KeyType(row.key_type), bytes.fromhex(row.public_key[2:])) for row in rows
    )


async def _mined_in(session: AsyncSession, tx: int | None) -> int | None:
    row = await session.get(OutboxTxRow, tx) if tx is not None else None
    return row.block_number if row is not None else None


async def find_reading(
    session: AsyncSession, project_id: int, *, device: str, sequence: int, position: int
) -> ReadingRow:
    """The reading of a device and sequence, or of a stream position where that is not 0.

    Raises NotFound (W3B-9010): there is none, or no window has it yet.
    """
    query = select(ReadingRow).where(ReadingRow.project_id == project_id)
    if position:
        query = query.where(ReadingRow.position == position)
        what = f"at position {position}"
    else:
        query = query.where(ReadingRow.device == device, ReadingRow.sequence == sequence)
        what = f"{sequence} of device {device}"
    row = (await session.exec(query)).first()
    if row is None:
        raise NotFound("W3B-9010", f"project {project_id} has accepted no reading {what}", field="reading")
    if row.task_id is None:
        raise NotFound("W3B-9010", f"reading {what} of project {project_id} is in no window yet", field="reading")
    return row
