"""What never changes about a project version, kept so that a tiny task does not read it again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Table, select

from coordinator.ledger.tables import DeviceRow, ProjectVersionRow
from verifier.assurance import Assurance, restore_assurance
from verifier.commitment import CommitmentScheme, scheme
from verifier.errors import NotFound
from verifier.reading import Device, KeyType

KEPT = 256
"""Versions that are kept; a device set has at most 1,024 devices."""
VERSIONS: Table = ProjectVersionRow.__table__  # type: ignore[attr-defined]
DEVICES: Table = DeviceRow.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Terms:
    """A published version, as far as proving goes."""

    scheme: CommitmentScheme
    program_ids: Mapping[str, str]
    """By kind, 0x hex."""
    device_set: tuple[Device, ...]
    """In the project file's order."""
    form: Mapping[str, Any] = field(default_factory=dict)
    """The assurance as it stands in the canonical configuration."""
    deadline_ms: int = 0
    """From a window's closing to its task's deadline."""

    @property
    def risk_ms(self) -> int:
        """A task's deadline is at risk when no more than this is left of its time: a quarter."""
        return self.deadline_ms // 4

    def policy(self, kinds: Sequence[str], threshold: int) -> Assurance:
        """The policy of a task of the version."""
        return restore_assurance(self.form, kinds, threshold)


def from_hex(text: str) -> bytes:
    """Bytes of 0x-prefixed hex."""
    return bytes.fromhex(text.removeprefix("0x"))


@lru_cache(maxsize=4096)
def _device(device: str, key_type: int, public_key: str, label: str) -> Device:
    return Device(from_hex(device), KeyType(key_type), from_hex(public_key), label)


class VersionBook:
    """The terms of the versions that were asked for lately. Versions are never changed but for their state."""

    def __init__(self) -> None:
        self._terms: OrderedDict[tuple[int, int], Terms] = OrderedDict()

    def terms(self, connection: Connection, project_id: int, version: int) -> Terms:
        """The terms of a version. Raises NotFound (W3B-2003)."""
        key = (project_id, version)
        if key not in self._terms:
            self._terms[key] = _read(connection, project_id, version)
            if len(self._terms) > KEPT:
                self._terms.popitem(last=False)
        self._terms.move_to_end(key)
        return self._terms[key]


def _read(connection: Connection, project_id: int, version: int) -> Terms:
    row = connection.execute(
        select(VERSIONS.c.scheme, VERSIONS.c.programs, VERSIONS.c.config).where(
            VERSIONS.c.project_id == project_id, VERSIONS.c.version == version
        )
    ).first()
    if row is None:
        raise NotFound("W3B-2003", f"project {project_id} has no version {version}", field="version")
    programs = {str(program["kind"]): str(program["program_id"]) for program in row.programs}
    return Terms(
        scheme(row.scheme),
        programs,
        read_device_set(connection, project_id, version),
        assurance_form(row.config),
        int(row.config.get("deadline_seconds", 0)) * 1000,
    )


def assurance_form(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The assurance of a canonical configuration; empty where it holds none, as that of a demonstration's ledger."""
    form = config.get("assurance")
    return form if isinstance(form, Mapping) else {}


def read_device_set(connection: Connection, project_id: int, version: int) -> tuple[Device, ...]:
    """The version's devices in the project file's order."""
    devices = connection.execute(
        select(DEVICES.c.device, DEVICES.c.key_type, DEVICES.c.public_key, DEVICES.c.label)
        .where(DEVICES.c.project_id == project_id, DEVICES.c.version == version)
        .order_by(DEVICES.c.position)
    )
    return tuple(_device(*device) for device in devices)
