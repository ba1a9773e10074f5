"""Admission: the checks that one message must pass before it counts as a reading.

They run in the order of cost: bytes, subject, device, payload, signature. The API runs the same checks before it
publishes; the intake runs them again, because anyone with the DA layer's credentials can publish.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from verifier.errors import InvalidInput, Refused, W3bstreamError
from verifier.reading import Device, Reading, verify_signature

LARGEST = (1 << 63) - 1
"""The ledger's integers are signed 64-bit; sequences and timestamps above are refused."""

PAYLOAD_BYTES = {
    "int8": 1,
    "uint8": 1,
    "int16": 2,
    "uint16": 2,
    "int32": 4,
    "uint32": 4,
    "int64": 8,
    "uint64": 8,
    "bytes32": 32,
}
"""Length of each fixed payload type; `bytes` takes any payload."""


@dataclass(frozen=True)
class Refusal:
    """Why a message was refused."""

    code: str
    reason: str
    device: bytes | None = None
    """The device that the message names, when it could be read; nothing proves that it sent it."""
    sequence: int | None = None


@dataclass(frozen=True)
class Admission:
    """What a project version admits."""

    project_id: int
    version: int
    devices: Mapping[bytes, Device]
    """The version's device set by id."""
    payload: str
    """Payload type: a key of `PAYLOAD_BYTES`, or `bytes`."""

    def decode(self, subject: str, data: bytes) -> Reading:
        """The reading of a message, everything checked but its signature.

        Raises InvalidInput W3B-1001 (malformed), W3B-1002 (too large) or W3B-1007 (payload), Refused W3B-1009
        (published under another subject) or W3B-1004 (unknown device).
        """
        reading = Reading.from_wire(data)
        self._check_fields(subject, reading)
        return reading

    def _check_fields(self, subject: str, reading: Reading) -> None:
        if subject != reading.subject() or reading.project != self.project_id:
            raise Refused(
                "W3B-1009", f"subject {subject[:80]!r} holds a reading for {reading.subject()!r}", field="subject"
            )
        for name in ("sequence", "timestamp"):
            if getattr(reading, name) > LARGEST:
                raise InvalidInput("W3B-1001", f"{name} {getattr(reading, name)} is 2^63 or more", field=name)
        if reading.device not in self.devices:
            raise Refused(
                "W3B-1004",
                f"device {reading.device.hex()} is not in version {self.version} of project {self.project_id}",
                field="device",
            )
        size = PAYLOAD_BYTES.get(self.payload)
        if size is not None and len(reading.payload) != size:
            raise InvalidInput(
                "W3B-1007", f"payload has {len(reading.payload)} bytes; {self.payload} has {size}", field="payload"
            )

    def admit(self, data: bytes) -> Reading:
        """The reading of a wire message, every check made; for callers who publish it under its own subject.

        Raises what `decode` raises, and Refused W3B-1003 (signature).
        """
        reading = Reading.from_wire(data)
        self._check_fields(reading.subject(), reading)
        verify_signature(reading, self.devices[reading.device])
        return reading


def refusal(error: W3bstreamError, data: bytes) -> Refusal:
    """The error as a refusal, with the device and sequence that the message names where it can be decoded."""
    try:
        reading = Reading.from_wire(data)
    except W3bstreamError:
        return Refusal(error.code, error.message)
    sequence = reading.sequence if reading.sequence <= LARGEST else None
    return Refusal(error.code, error.message, reading.device, sequence)


def check_signatures(pairs: Sequence[tuple[Reading, Device]]) -> list[tuple[str, str] | None]:
    """For each pair None, or (code, reason) when the device did not sign the reading. Runs in a worker."""
    verdicts: list[tuple[str, str] | None] = []
    for reading, device in pairs:
        try:
            verify_signature(reading, device)
            verdicts.append(None)
        except W3bstreamError as error:
            verdicts.append((error.code, error.message))
    return verdicts
