"""Devices, readings and proving tasks for the circuit tests; every key comes from its number, so runs repeat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from provers.protocol import ProvingTask
from verifier.commitment import device_set_root, order_readings, readings_root
from verifier.completeness import Completeness, count_missing
from verifier.reading import Device, DeviceKey, KeyType, Reading
from verifier.statement import Domain, Opening, task_id

PROJECT = 7
CAPACITY = 16


def key(number: int) -> DeviceKey:
    return DeviceKey.from_private(KeyType.BABYJUBJUB, number.to_bytes(32, "big"))


KEYS = [key(number) for number in range(1, 6)]
DEVICES: tuple[Device, ...] = tuple(k.registration(f"device {i}") for i, k in enumerate(KEYS))


def reading(device: int, sequence: int, value: int, *, project: int = PROJECT) -> Reading:
    payload = value.to_bytes(4, "big", signed=True)
    return KEYS[device].sign(project, sequence, (1_700_000_000_000 + sequence) % 2**64, payload)


def task(
    readings: Sequence[Reading],
    devices: tuple[Device, ...] = DEVICES,
    *,
    project: int = PROJECT,
    arrival: tuple[int, int, int] = (0, 0, 0),
) -> ProvingTask:
    """A task over the readings; `arrival` is (duplicates, late, reordered)."""
    ordered = order_readings(readings, devices)
    completeness = Completeness(count_missing(ordered), *arrival)
    roots = readings_root(ordered, CAPACITY), device_set_root(devices)
    opening = Opening(*roots, 100, 140, len(ordered), completeness)
    return ProvingTask(
        domain=Domain(4690, bytes(range(20))),
        project_id=project,
        project_version=1,
        task_id=task_id(project, 1, 100, 140),
        opening=opening,
        program_id=bytes(32),
        prover=bytes(19) + b"\x01",
        readings=ordered,
        device_set=devices,
    )


def with_opening(base: ProvingTask, **changes: object) -> ProvingTask:
    return replace(base, opening=replace(base.opening, **changes))  # type: ignore[arg-type]
