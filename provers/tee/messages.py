"""What crosses the enclave's border, as bytes: a task in; a signed Statement out.

Fixed heads, big-endian, then lists with their lengths; exactly one spelling. Whatever else comes in is refused.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from provers.protocol import ProvingTask
from verifier.completeness import Completeness
from verifier.errors import InvalidInput
from verifier.reading import Device, KeyType, Reading
from verifier.statement import Domain, Opening, Statement

VERSION = 1
_TASK = struct.Struct(">B32s20s32sI32s32s20s32s32sQQIQIIIII")
"""Version; chain id, Router; project, version, task id, program id, prover; opening; devices, readings."""
_DEVICE = struct.Struct(">20sB64s")
_KEY_TYPES = {int(each): each for each in KeyType}
_LENGTH = struct.Struct(">I")
_RESULT = struct.Struct(">B32sI32s32s32s32s20s64sII")
"""Version; the Statement; public key (zero where evidence speaks directly); bytes of output and of the rest."""


def _malformed(why: str, where: str = "message") -> InvalidInput:
    return InvalidInput("W3B-4021", f"the enclave's message {why}", field=where)


def encode_task(task: ProvingTask) -> bytes:
    """A task. Labels of devices are left out: nothing commits to them.

    Raises InvalidInput (W3B-4021) for a number that its field cannot hold.
    """
    opening, lacks = task.opening, task.opening.completeness
    try:
        head = _TASK.pack(
            VERSION,
            task.domain.chain_id.to_bytes(32, "big"),
            task.domain.router,
            task.project_id.to_bytes(32, "big"),
            task.project_version,
            task.task_id,
            task.program_id,
            task.prover,
            opening.readings_root,
            opening.device_set_root,
            opening.window_start,
            opening.window_end,
            opening.count,
            *lacks.words(),
            len(task.device_set),
            len(task.readings),
        )
    except (struct.error, OverflowError) as error:
        raise _malformed(f"cannot hold the task: {error}", "task") from error
    devices = [_DEVICE.pack(each.device, each.key_type, each.public_key) for each in task.device_set]
    readings = [_LENGTH.pack(len(wire := each.to_wire())) + wire for each in task.readings]
    return b"".join((head, *devices, *readings))


def decode_task(data: bytes) -> ProvingTask:
    """Exactly what `encode_task` writes. Raises InvalidInput W3B-4021, and W3B-1001 or W3B-1002 for a reading."""
    if len(data) < _TASK.size or data[0] != VERSION:
        raise _malformed(f"of {len(data)} bytes is no task of version {VERSION}")
    _, chain, router, project, number, task, program, prover, *rest = _TASK.unpack_from(data)
    readings_root, devices_root, start, end, count, *lacks, device_count, reading_count = rest
    at = _TASK.size
    if at + device_count * _DEVICE.size > len(data):
        raise _malformed(f"is too short for {device_count} devices", "devices")
    devices = []
    for _ in range(device_count):
        name, key_type, public_key = _DEVICE.unpack_from(data, at)
        devices.append(Device(name, _key_type(key_type), public_key))
        at += _DEVICE.size
    readings = []
    for _ in range(reading_count):
        size = _LENGTH.unpack_from(data, at)[0] if at + _LENGTH.size <= len(data) else len(data)
        at += _LENGTH.size
        if at + size > len(data):
            raise _malformed(f"is too short for {reading_count} readings", "readings")
        readings.append(Reading.from_wire(data[at : at + size]))
        at += size
    if at != len(data):
        raise _malformed(f"has {len(data) - at} bytes too many")
    return ProvingTask(
        Domain(int.from_bytes(chain, "big"), router),
        int.from_bytes(project, "big"),
        number,
        task,
        Opening(readings_root, devices_root, start, end, count, Completeness(*lacks)),
        program,
        prover,
        tuple(readings),
        tuple(devices),
    )


def _key_type(number: int) -> KeyType:
    if number not in _KEY_TYPES:
        raise _malformed(f"has a device of key type {number}", "key_type")
    return _KEY_TYPES[number]


@dataclass(frozen=True)
class EnclaveResult:
    """What the enclave says of a task."""

    statement: Statement
    public_output: bytes
    """ABI words, the completeness last."""
    public_key: bytes
    """Of the session key that signed, 64 bytes; zero where `body` is evidence."""
    body: bytes
    """65 bytes of signature of the Statement digest, or attachments that carry it."""

    def encode(self) -> bytes:
        """What `decode` reads."""
        said = self.statement
        head = _RESULT.pack(
            VERSION,
            said.project_id.to_bytes(32, "big"),
            said.project_version,
            said.task_id,
            said.inputs,
            said.output,
            said.program_id,
            said.prover,
            self.public_key,
            len(self.public_output),
            len(self.body),
        )
        return head + self.public_output + self.body

    @classmethod
    def decode(cls, data: bytes) -> EnclaveResult:
        """Exactly what `encode` writes. Raises InvalidInput (W3B-4021)."""
        if len(data) < _RESULT.size or data[0] != VERSION:
            raise _malformed(f"of {len(data)} bytes is no result of version {VERSION}")
        _, project, number, task, inputs, output, program, prover, key, words, body = _RESULT.unpack_from(data)
        if len(data) != _RESULT.size + words + body:
            raise _malformed("has another length than its result")
        statement = Statement(int.from_bytes(project, "big"), number, task, inputs, output, program, prover)
        middle = _RESULT.size + words
        return cls(statement, data[_RESULT.size : middle], key, data[middle:])
