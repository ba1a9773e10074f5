"""From the ledger's rows to the task that a prover gets."""

from __future__ import annotations

from functools import lru_cache

from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.store import get_task
from coordinator.ledger.tables import AttemptRow, DeviceRow, ProjectVersionRow, ReadingRow, TaskRow
from provers.protocol import ProvingTask
from verifier.commitment import scheme
from verifier.errors import NotFound, Refused
from verifier.reading import Device, KeyType, Reading
from verifier.statement import Domain, Opening


def from_hex(text: str) -> bytes:
    """Bytes of 0x-prefixed hex."""
    return bytes.fromhex(text.removeprefix("0x"))


def to_hex(data: bytes) -> str:
    """0x and lower-case hex."""
    return "0x" + data.hex()


@lru_cache(maxsize=4096)
def _device(device: str, key_type: int, public_key: str, label: str) -> Device:
    return Device(from_hex(device), KeyType(key_type), from_hex(public_key), label)


async def load_device_set(session: AsyncSession, project_id: int, version: int) -> tuple[Device, ...]:
    """The version's devices in the project file's order."""
    rows = await session.exec(
        select(DeviceRow)
        .where(DeviceRow.project_id == project_id, DeviceRow.version == version)
        .order_by(DeviceRow.position)  # type: ignore[arg-type]
    )
    return tuple(_device(row.device, row.key_type, row.public_key, row.label) for row in rows)


async def load_proving_task(session: AsyncSession, domain: Domain, attempt: AttemptRow) -> ProvingTask:
    """All that the attempt's prover needs.

    Raises NotFound (W3B-3003, W3B-2003) for a missing row, Refused (W3B-3009) where the readings are not those that the
    task's inputs commit to.
    """
    task = await get_task(session, attempt.task_id)
    version = await session.get(ProjectVersionRow, (task.project_id, task.version))
    if version is None:
        raise NotFound("W3B-2003", f"project {task.project_id} has no version {task.version}", field="version")
    wires = await session.exec(select(ReadingRow.wire).where(ReadingRow.task_id == task.id))
    readings = [Reading.from_wire(wire) for wire in wires]
    devices = await load_device_set(session, task.project_id, task.version)
    opening = _opening(task)
    if len(readings) != task.count or opening.commitment() != from_hex(task.inputs):
        raise Refused(
            "W3B-3009", f"task {task.id} has {len(readings)} readings in the ledger, and was made of {task.count}"
        )
    return ProvingTask(
        domain=domain,
        project_id=task.project_id,
        project_version=task.version,
        task_id=from_hex(task.id),
        opening=opening,
        program_id=from_hex(attempt.program_id),
        prover=from_hex(attempt.prover_address),
        readings=scheme(version.scheme).order_readings(readings, devices),
        device_set=devices,
    )


def _opening(task: TaskRow) -> Opening:
    return Opening(
        from_hex(task.readings_root), from_hex(task.device_set_root), task.window_start, task.window_end, task.count
    )
