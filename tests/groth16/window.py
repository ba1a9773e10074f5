"""Windows of signed readings for the sample program, with the task that proves them."""

from __future__ import annotations

from collections.abc import Sequence

from provers.protocol import Prepared, ProvingTask
from verifier.commitment import device_set_root, order_readings, readings_root
from verifier.completeness import Completeness, count_missing
from verifier.reading import DeviceKey, KeyType
from verifier.statement import Domain, Opening, task_id

CAPACITY = 16
PROJECT = 7
VERSION = 3
DOMAIN = Domain(4690, bytes.fromhex("11" * 20))
PROVER = bytes.fromhex("22" * 20)
Stated = tuple[int, int, int]
KEYS = [DeviceKey.from_private(KeyType.BABYJUBJUB, bytes([n]) * 32) for n in (1, 2, 3)]


def window_task(
    prepared: Prepared, values: Sequence[int], *, start: int = 100, step: int = 1, stated: Stated = (0, 0, 0)
) -> ProvingTask:
    """A task over one reading a value, dealt to three devices in turn, in the window that begins at `start`.

    `step` is what the readings' numbers go up by, `stated` is (duplicates, late, reordered).
    """
    devices = tuple(key.registration() for key in KEYS)
    readings = [
        KEYS[n % 3].sign(
            project=PROJECT,
            sequence=n * step + 1,
            timestamp=1_700_000_000_000 + n,
            payload=value.to_bytes(4, "big", signed=True),
        )
        for n, value in enumerate(values)
    ]
    ordered = order_readings(readings, devices)
    end = start + len(values) + 2
    completeness = Completeness(count_missing(ordered), *stated)
    opening = Opening(readings_root(ordered, CAPACITY), device_set_root(devices), start, end, len(values), completeness)
    return ProvingTask(
        DOMAIN,
        PROJECT,
        VERSION,
        task_id(PROJECT, VERSION, start, end),
        opening,
        prepared.program_id,
        PROVER,
        ordered,
        devices,
    )
