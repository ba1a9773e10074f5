"""The input signals of a signed window, which every circuit program takes (provers/zkp/circuits/window.circom)."""

from __future__ import annotations

from collections.abc import Callable, Collection

from provers.programs import CircuitInputs
from provers.protocol import ProvingTask
from verifier import babyjubjub as curve
from verifier.commitment import (
    DEVICE_DEPTH,
    device_indices,
    device_paths,
    device_set_root,
    order_readings,
    readings_root,
)
from verifier.completeness import Completeness, count_missing
from verifier.errors import InvalidInput
from verifier.field import from_bytes
from verifier.reading import KeyType, Reading

DIGITS = 84
"""Signed base-8 digits of a signature's S."""


def window_completeness(task: ProvingTask) -> Completeness:
    """The completeness that ends the task's public output: `missing` counted again, the rest as the opening states it.

    Raises InvalidInput W3B-4021 where the opening says otherwise or what no window can have.
    """
    opening, missing = task.opening, count_missing(task.readings)
    if opening.completeness.missing != missing:
        raise InvalidInput(
            "W3B-4021",
            f"{missing} sequences are missing between the readings, the opening says {opening.completeness.missing}",
            field="missing",
        )
    if not opening.completeness.possible(opening.count, opening.window_end - opening.window_start):
        raise InvalidInput(
            "W3B-4021", f"no window of {opening.count} readings has {opening.completeness}", field="completeness"
        )
    return opening.completeness


def check_window(
    task: ProvingTask,
    capacity: int,
    *,
    key_types: Collection[KeyType] = (KeyType.BABYJUBJUB,),
    roots: Callable[[], tuple[bytes, bytes]] | None = None,
) -> None:
    """Require what the circuit requires, but for the signatures.

    Parameters: `key_types` are those that the program takes; `roots` computes the readings' and the device set's root
    where the caller has a faster way. Raises InvalidInput W3B-4021, Refused W3B-1004 or W3B-1005.
    """
    readings, opening = task.readings, task.opening
    if not 1 <= len(readings) <= capacity:
        raise InvalidInput(
            "W3B-4021", f"{len(readings)} readings where the program takes 1 to {capacity}", field="count"
        )
    if order_readings(readings, task.device_set) != tuple(readings):
        raise InvalidInput("W3B-4021", "the readings are not sorted by device index and sequence", field="readings")
    for reading in readings:
        if reading.project != task.project_id:
            raise InvalidInput("W3B-4021", f"a reading is of project {reading.project}", field="project")
        if reading.key_type not in key_types:
            takes = " or ".join(each.label for each in key_types)
            raise InvalidInput(
                "W3B-4021", f"a {reading.key_type.label} key; this program reads {takes}", field="key_type"
            )
    readings_at, devices_at = (
        roots() if roots else (readings_root(readings, capacity), device_set_root(task.device_set))
    )
    if opening.count != len(readings) or opening.readings_root != readings_at:
        raise InvalidInput("W3B-4021", "the task's opening is of other readings", field="readings_root")
    if opening.device_set_root != devices_at:
        raise InvalidInput("W3B-4021", "the task's opening is of another device set", field="device_set_root")
    if not 0 < opening.window_start <= opening.window_end - opening.count:
        raise InvalidInput("W3B-4021", f"{opening.count} readings do not fit the window's bounds", field="window_end")


def signature_digits(s: int) -> list[int]:
    """S as eddsa.circom takes it: 84 x (e0, e1, sign) of the odd number in {S, S - l}. `s` is in [0, l)."""
    odd = s if s & 1 else s - curve.L
    halved = (odd + (1 << 3 * DIGITS) - 1) >> 1
    digits = []
    for k in range(DIGITS):
        e0, e1, sign = (halved >> (3 * k + j) & 1 for j in range(3))
        digits += [e0, e1, 1] if sign else [1 - e0, 1 - e1, 0]
    return digits


def _slot(reading: Reading, index: int, key: bytes, path: tuple[bytes, ...]) -> dict[str, list[int]]:
    parts = curve.decode_signature(reading.signature)
    if parts is None:
        raise InvalidInput("W3B-4021", f"reading {reading.sequence} has no canonical signature", field="signature")
    r8, s = parts
    return {
        "enabled": [1],
        "deviceIndex": [index],
        "device": [int.from_bytes(reading.device, "big")],
        "publicKey": [from_bytes(key[:32]), from_bytes(key[32:])],
        "devicePath": [from_bytes(sibling) for sibling in path],
        "sequence": [reading.sequence],
        "timestamp": [reading.timestamp],
        "r8": list(r8),
        "digit": signature_digits(s),
    }


def _disabled_slot() -> dict[str, list[int]]:
    """A slot that counts for nothing: zeros, and B8 where the circuit wants a point of order l."""
    return {
        "enabled": [0],
        "deviceIndex": [0],
        "device": [0],
        "publicKey": list(curve.B8),
        "devicePath": [0] * DEVICE_DEPTH,
        "sequence": [0],
        "timestamp": [0],
        "r8": list(curve.B8),
        "digit": [0] * (3 * DIGITS),
    }


def window_inputs(task: ProvingTask, digest: bytes, capacity: int) -> CircuitInputs:
    """Public inputs and the slots' private inputs, all but the program's own payload values.

    Parameters: `digest` the Statement's, 32 bytes; `capacity` the circuit's slots. Raises as `check_window` does.
    """
    check_window(task, capacity)
    completeness = window_completeness(task)
    indices = device_indices(task.device_set)
    used = [indices[reading.device] for reading in task.readings]
    paths = device_paths(task.device_set, used)
    slots = [
        _slot(reading, index, task.device_set[index].public_key, path)
        for reading, index, path in zip(task.readings, used, paths, strict=True)
    ]
    slots += [_disabled_slot()] * (capacity - len(slots))
    inputs: CircuitInputs = {
        "digestHigh": int.from_bytes(digest[:16], "big"),
        "digestLow": int.from_bytes(digest[16:], "big"),
        "projectId": task.project_id,
        "deviceSetRoot": from_bytes(task.opening.device_set_root),
        "windowStart": task.opening.window_start,
        "windowEnd": task.opening.window_end,
        "count": task.opening.count,
        "duplicates": completeness.duplicates,
        "late": completeness.late,
        "reordered": completeness.reordered,
    }
    for name in slots[0]:
        inputs[name] = [value for slot in slots for value in slot[name]]
    return inputs
