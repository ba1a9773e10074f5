"""From the ledger's rows to the tasks that provers get."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Table, bindparam, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.dispatch.version_terms import Terms, VersionBook, from_hex, read_device_set
from coordinator.ledger.bulk import TASKS, chunks
from coordinator.ledger.openings import opening_of
from coordinator.ledger.session_keys import refused_keys
from coordinator.ledger.tables import ReadingRow
from provers.protocol import ProvingTask
from verifier.attestation.identity import KIND_PREFIX
from verifier.errors import NotFound, Refused, W3bstreamError
from verifier.reading import Device, Reading
from verifier.statement import Domain

COLUMNS = (
    "id",
    "project_id",
    "version",
    "window_start",
    "window_end",
    "count",
    "readings_root",
    "device_set_root",
    "inputs",
    "missing",
    "duplicates",
    "late",
    "reordered",
)
READINGS: Table = ReadingRow.__table__  # type: ignore[attr-defined]
_TASKS = select(*(TASKS.c[name] for name in COLUMNS)).where(TASKS.c.id.in_(bindparam("ids", expanding=True)))
_WIRES = select(READINGS.c.task_id, READINGS.c.wire).where(READINGS.c.task_id.in_(bindparam("ids", expanding=True)))


def to_hex(data: bytes) -> str:
    """0x and lower-case hex."""
    return "0x" + data.hex()


async def load_device_set(session: AsyncSession, project_id: int, version: int) -> tuple[Device, ...]:
    """The version's devices in the project file's order."""
    connection = await session.connection()
    return await connection.run_sync(read_device_set, project_id, version)


@dataclass(frozen=True)
class Wanted:
    """Whose proof is wanted of which task."""

    task_id: str
    program_id: str
    prover_address: str
    kind: str = ""
    """Of the worker that the task is for; empty where it is only to be verified."""


def load_proving_tasks(
    connection: Connection, domain: Domain, book: VersionBook, wanted: Sequence[Wanted]
) -> list[ProvingTask | W3bstreamError]:
    """All that the provers need, in the order of `wanted`; in place of a task the error that keeps it from being made.

    Errors: NotFound (W3B-3003, W3B-2003) for a missing row, Refused (W3B-3009) where the readings are not those that
    the task's inputs commit to, InvalidInput (W3B-1xxx) for readings that are damaged.
    """
    ids = sorted({each.task_id for each in wanted})
    rows: dict[str, Any] = {}
    wires: dict[str, list[bytes]] = defaultdict(list)
    for some in chunks(ids):
        rows.update({row.id: row for row in connection.execute(_TASKS, {"ids": some})})
        for task_id, wire in connection.execute(_WIRES, {"ids": some}):
            wires[task_id].append(wire)
    keyed = {_signer_of(each) for each in wanted if each.kind.startswith(KIND_PREFIX)}
    refused = {key: tuple(refused_keys(connection, *key)) for key in keyed}
    made: list[ProvingTask | W3bstreamError] = []
    for each in wanted:
        try:
            row = rows.get(each.task_id)
            if row is None:
                raise NotFound("W3B-3003", f"there is no task {each.task_id}", field="task_id")
            terms = book.terms(connection, row.project_id, row.version)
            task = _make(domain, terms, each, row, wires[each.task_id])
            keys = refused.get(_signer_of(each))
            made.append(replace(task, refused_keys=keys) if keys else task)
        except W3bstreamError as error:
            made.append(error)
    return made


def _signer_of(wanted: Wanted) -> tuple[str, str]:
    """Whose session keys count: program and prover, as the ledger writes them."""
    return wanted.program_id, wanted.prover_address.lower()


def _make(domain: Domain, terms: Terms, wanted: Wanted, task: Any, wires: Sequence[bytes]) -> ProvingTask:
    readings = [Reading.from_wire(wire) for wire in wires]
    opening = opening_of(task)
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
        program_id=from_hex(wanted.program_id),
        prover=from_hex(wanted.prover_address),
        readings=terms.scheme.order_readings(readings, terms.device_set),
        device_set=terms.device_set,
    )
