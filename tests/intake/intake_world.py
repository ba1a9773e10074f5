"""The test project: devices, readings, ledger rows, and a way to wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import DeviceRow, ProjectRow, ProjectVersionRow
from coordinator.projects.programs import Manifest
from tests.patience import PATIENCE
from verifier.commitment import POSEIDON_BN254_V1
from verifier.reading import DeviceKey, KeyType, Reading

CAPACITY = 4
PROGRAMS = {
    "sum4": Manifest(
        "sum4", "zkp.groth16", CAPACITY, "int32", "poseidon-bn254-v1", "in-proof", ("secp256k1", "babyjubjub", "p256")
    )
}
KEYS = [DeviceKey.from_private(KeyType.SECP256K1, bytes([index + 1] * 32)) for index in range(3)]


def reading(sequence: int, device: int = 0, project: int = 1, value: int = 7) -> Reading:
    """A signed reading of test device `device`."""
    return KEYS[device].sign(project, sequence, 1_700_000_000_000 + sequence, value.to_bytes(4, "big"))


async def until(condition: Callable[[], Awaitable[Any]], seconds: float = 20.0) -> Any:
    """Wait for a truthy result; fail when none comes."""
    async with asyncio.timeout(seconds * PATIENCE):
        while not (found := await condition()):
            await asyncio.sleep(0.02)
        return found


async def add_project(ledger: Ledger, project_id: int = 1) -> None:
    """An active project without a version."""
    async with ledger.transaction() as session:
        session.add(ProjectRow(id=project_id, name=f"project-{project_id}", owner_key_id="key_test", created_at=1))


async def add_version(
    ledger: Ledger,
    version: int = 1,
    project_id: int = 1,
    *,
    devices: tuple[int, ...] = (0, 1),
    seconds: float = 3600,
    readings: int = CAPACITY,
    state: str = "PUBLISHED",
) -> None:
    """A version of the project as the chain published it."""
    keys = [KEYS[index].registration() for index in devices]
    root = POSEIDON_BN254_V1.device_set_root(keys)
    async with ledger.transaction() as session:
        session.add(
            ProjectVersionRow(
                project_id=project_id,
                version=version,
                file="",
                config={
                    "da": {"url": "embedded", "credentials": None},
                    "window": {"readings": readings, "seconds": seconds},
                    "deadline_seconds": 600,
                },
                config_hash="0x00",
                device_set_root=f"0x{root.hex()}",
                scheme="poseidon-bn254-v1",
                window_capacity=CAPACITY,
                window_max_age_ms=int(seconds * 1000),
                programs=[{"kind": "zkp.groth16", "name": "sum4", "program_id": "0x00", "verifier": "0x00"}],
                state=state,
                created_at=1,
            )
        )
        for position, key in enumerate(keys):
            session.add(
                DeviceRow(
                    project_id=project_id,
                    version=version,
                    position=position,
                    device=f"0x{key.device.hex()}",
                    key_type=int(key.key_type),
                    public_key=f"0x{key.public_key.hex()}",
                )
            )
