"""The readings of a window as the enclave takes them: signatures, roots and order, from the bytes and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from native import _native
from provers.programs.window import check_window, window_completeness
from provers.protocol import ProvingTask
from provers.tee.runtime.configuration import Configuration
from verifier.commitment import DEVICE_DEPTH, device_leaf
from verifier.errors import InvalidInput, Refused
from verifier.reading import Device, KeyType, Reading, verify_signature
from verifier.statement import task_id


def check_readings(task: ProvingTask, configuration: Configuration) -> None:
    """Require that each reading is signed by a device of the set, that they are in order and none counts twice, and that
    the task's opening and id are what follows from them.

    Raises Refused: W3B-1003 a signature, W3B-1004 a device that is not in the set, W3B-1005 a repeat, W3B-4012 another
    task's id; InvalidInput: W3B-4021 another opening, order, project, key type or number of readings.
    """
    if not 1 <= len(task.readings) <= configuration.capacity:
        raise InvalidInput(
            "W3B-4021",
            f"{len(task.readings)} readings where the program takes 1 to {configuration.capacity}",
            field="count",
        )
    check_signatures(task.readings, task.device_set)

    def roots() -> tuple[bytes, bytes]:
        return _readings_root(task.readings, configuration.capacity), _device_set_root(task.device_set)

    check_window(task, configuration.capacity, key_types=configuration.key_types, roots=roots)
    window_completeness(task)
    opening = task.opening
    expected = task_id(task.project_id, task.project_version, opening.window_start, opening.window_end)
    if task.task_id != expected:
        raise Refused("W3B-4012", f"task id {task.task_id.hex()} is not the window's {expected.hex()}", field="taskId")


def check_signatures(readings: Sequence[Reading], devices: Sequence[Device]) -> None:
    """Require each reading's signature by the device that it names. Raises Refused W3B-1003, W3B-1004."""
    known = {device.device: device for device in devices}
    pairs = []
    for reading in readings:
        device = known.get(reading.device)
        if device is None:
            raise Refused("W3B-1004", f"device {reading.device.hex()} is not in the device set", field="device")
        if reading.key_type is device.key_type is KeyType.BABYJUBJUB:
            pairs.append((reading, device))
        else:
            verify_signature(reading, device)
    signed = [(device.public_key, reading.to_wire()) for reading, device in pairs]
    for (reading, _), message in zip(pairs, _native.babyjubjub_signed_messages(signed), strict=True):
        if message is None:
            name = f"reading {reading.sequence} of device {reading.device.hex()}"
            raise Refused("W3B-1003", f"the signature of {name} does not verify", field="signature")
        reading.remember_message(int.from_bytes(message, "big"))


def _readings_root(readings: Sequence[Reading], capacity: int) -> bytes:
    for reading in readings:
        if not reading.knows_message:
            reading.remember_message(int.from_bytes(_native.reading_message(reading.to_wire()), "big"))
    return _native.poseidon_roots([[reading.message().to_bytes(32, "big") for reading in readings]], capacity)[0]


@lru_cache(maxsize=64)
def _device_set_root(devices: tuple[Device, ...]) -> bytes:
    """Remembered by value, every key checked: a set of 1,024 takes a second."""
    if len(devices) > 1 << DEVICE_DEPTH or len({device.device for device in devices}) != len(devices):
        raise InvalidInput(
            "W3B-1010", f"{len(devices)} devices are too many, or one is in the set twice", field="devices"
        )
    return _native.poseidon_roots([[device_leaf(device) for device in devices]], 1 << DEVICE_DEPTH)[0]
