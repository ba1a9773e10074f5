"""What the file shows by itself: programs and proofs, the output, and the readings behind the commitment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from verifier.commitment import DEVICE_DEPTH, device_leaf, scheme
from verifier.completeness import count_missing
from verifier.errors import Refused
from verifier.evidence.chain_checks import Recorded
from verifier.evidence.document import READING, TASK, DevicePart, Document, IncludedReading, ProofPart
from verifier.evidence.report import Checks, require
from verifier.groth16 import KIND as GROTH16
from verifier.groth16 import groth16_program_id, verify_groth16
from verifier.outputs import DecodedOutput, decode_outputs
from verifier.reading import Device, KeyType, Reading, verify_signature
from verifier.statement import Domain, Opening, Statement

READINGS = "W3B-9005"
PROOF = "W3B-9006"
MAX_KEY = 8192
"""Bytes of a verifying key: 33 signals and the fixed points."""


@dataclass(frozen=True)
class Window:
    """A window whose output is to be computed once more."""

    domain: Domain
    statement: Statement
    opening: Opening
    readings: tuple[Reading, ...]
    """In the commitment's order, every one checked."""


class KnownProgram(Protocol):
    """A program that this installation has, for the second check."""

    @property
    def outputs(self) -> Sequence[str]:
        """The words of its public output, each `<ABI type> <name>`."""

    def output_of(self, window: Window) -> bytes | None:
        """The window's public output by plain computation, or None where the program offers none. Raises W3B-4021."""


def check_proofs(document: Document, recorded: Recorded, checks: Checks) -> tuple[str, ...]:
    """Every proof, by the verifier of its kind. Returns the kinds that have none here: for those the Router's word
    stands. Raises Refused (W3B-4xxx, W3B-9006) under the check's name."""
    unchecked = []
    for proof, statement in zip(document.proofs, recorded.statements, strict=True):
        if proof.kind == GROTH16:
            _check_groth16(document, proof, statement, recorded.domain, checks)
            continue
        with checks.checking(f"proof.{proof.kind}", "only by the Router: no verifier of this kind is here"):
            require(not proof.verifying_key, PROOF, "a verifying key is given for a kind that is not known here")
            # Only then do the bytes of the proof stand on the chain: nothing else here would notice others.
            require(proof.kind in recorded.direct, PROOF, "a proof that nothing here checks went through a relay")
        unchecked.append(proof.kind)
    return tuple(unchecked)


def _check_groth16(document: Document, proof: ProofPart, statement: Statement, domain: Domain, checks: Checks) -> None:
    with checks.checking(f"verifying_key.{proof.kind}", f"hashes to program 0x{proof.program_id.hex()}"):
        require(len(proof.verifying_key) <= MAX_KEY, PROOF, f"a verifying key of {len(proof.verifying_key)} bytes")
        found = groth16_program_id(proof.verifying_key)
        require(found == proof.program_id, PROOF, f"the key makes program 0x{found.hex()}, another one is published")
    with checks.checking(f"proof.{proof.kind}", "the proof holds for the Statement"):
        opening = verify_groth16(proof.verifying_key, domain, statement, document.task.public_output, proof.proof)
        require(opening == document.task.opening, PROOF, "the proof opens other inputs")


def check_output(document: Document, programs: Mapping[str, KnownProgram], checks: Checks) -> tuple[DecodedOutput, ...]:
    """The public output by name, as the first proof's program names it; empty where no such program is known here."""
    known = programs.get(document.proofs[0].program)
    if known is None:
        checks.notes.append(f"program {document.proofs[0].program!r} is not known here: the output is shown as bytes")
        return ()
    with checks.checking("output", "a canonical encoding of the program's outputs"):
        decoded = tuple(decode_outputs(known.outputs, document.task.public_output))
    return decoded


def check_readings(
    document: Document, recorded: Recorded, programs: Mapping[str, KnownProgram], checks: Checks
) -> None:
    """Readings and devices, as far as the file holds them. Raises Refused (W3B-1xxx, W3B-9005) under the check's
    name."""
    capacity = recorded.window_capacity
    with checks.checking("count", f"{document.task.opening.count} readings fit the version's windows of {capacity}"):
        require(capacity > 0 and capacity & (capacity - 1) == 0, READINGS, f"a window capacity of {capacity}")
        require(document.task.opening.count <= capacity, READINGS, f"more than {capacity}")
    if document.subject == TASK:
        readings = _window(document, capacity, checks)
        _recompute(document, recorded, readings, programs, checks)
    elif document.subject == READING and document.reading is not None:
        _included(document, document.reading, capacity, checks)


def _devices(document: Document, checks: Checks) -> dict[bytes, Device]:
    """The file's devices, each shown to be in the published set, in the set's order."""
    root, found = document.task.opening.device_set_root, {}
    before = -1
    commitment = scheme(document.task.scheme)
    for part in document.devices:
        with checks.checking(f"devices[{part.index}]", f"0x{part.device.hex()} is in the published set"):
            require(part.index > before, READINGS, "the devices are not in the set's order")
            require(len(part.path) == DEVICE_DEPTH, READINGS, f"a path of {len(part.path)}, not {DEVICE_DEPTH}")
            device = _device(part)
            holds = commitment.verify_path(root, device_leaf(device), part.index, part.path)
            require(holds, READINGS, f"device 0x{part.device.hex()} is not at place {part.index} of the set")
            require(part.device not in found, READINGS, f"device 0x{part.device.hex()} stands twice")
        found[part.device], before = device, part.index
    return found


def _device(part: DevicePart) -> Device:
    if part.key_type not in set(KeyType):
        raise Refused("W3B-1010", f"key type {part.key_type} is unknown")
    return Device(part.device, KeyType(part.key_type), part.public_key)


def _reading(wire: bytes, document: Document, devices: Mapping[bytes, Device]) -> Reading:
    """A reading that a device of the set signed for this project."""
    reading = Reading.from_wire(wire)
    project = document.task.project_id
    require(reading.project == project, READINGS, f"it is of project {reading.project}, not {project}")
    require(reading.device in devices, "W3B-1004", f"device 0x{reading.device.hex()} is not in the file's device set")
    verify_signature(reading, devices[reading.device])
    return reading


def _window(document: Document, capacity: int, checks: Checks) -> tuple[Reading, ...]:
    devices, opening = _devices(document, checks), document.task.opening
    readings = []
    for at, wire in enumerate(document.readings):
        with checks.checking(f"readings[{at}]", "signed by a device of the set"):
            readings.append(_reading(wire, document, devices))
    commitment = scheme(document.task.scheme)
    with checks.checking("readings", f"{len(readings)} readings, in order, each once"):
        require(len(readings) == opening.count, READINGS, f"{len(readings)} readings, the inputs count {opening.count}")
        ordered = commitment.order_readings(readings, list(devices.values()))
        require(ordered == tuple(readings), READINGS, "the readings are not sorted by device and sequence")
        silent = set(devices) - {reading.device for reading in readings}
        require(not silent, READINGS, f"{len(silent)} devices stand in the file without a reading")
    with checks.checking("completeness", f"{opening.completeness.missing} numbers are missing between the readings"):
        missing = count_missing(readings)
        require(missing == opening.completeness.missing, READINGS, f"{missing} numbers are missing")
    with checks.checking("readings_root", f"0x{opening.readings_root.hex()}"):
        root = commitment.readings_root(readings, capacity)
        require(root == opening.readings_root, READINGS, f"the readings' root is 0x{root.hex()}")
    return tuple(readings)


def _included(document: Document, part: IncludedReading, capacity: int, checks: Checks) -> None:
    devices, opening = _devices(document, checks), document.task.opening
    commitment = scheme(document.task.scheme)
    with checks.checking("reading", "signed by a device of the set"):
        require(len(devices) == 1, READINGS, f"{len(devices)} devices stand in the file of one reading")
        reading = _reading(part.wire, document, devices)
    with checks.checking("inclusion", f"reading {part.index} of {opening.count} under the readings' root"):
        depth = capacity.bit_length() - 1
        require(len(part.path) == depth, READINGS, f"a path of {len(part.path)}, not {depth}")
        require(part.index < opening.count, READINGS, f"place {part.index} of a window of {opening.count}")
        leaf = commitment.reading_leaf(reading)
        holds = commitment.verify_path(opening.readings_root, leaf, part.index, part.path)
        require(holds, READINGS, f"the reading is not at place {part.index} of the window")


def _recompute(
    document: Document,
    recorded: Recorded,
    readings: tuple[Reading, ...],
    programs: Mapping[str, KnownProgram],
    checks: Checks,
) -> None:
    """Compute the output once more from the readings, by each known program: a check that owes nothing to a proof."""
    for proof, statement in zip(document.proofs, recorded.statements, strict=True):
        known = programs.get(proof.program)
        if known is None:
            checks.notes.append(f"program {proof.program!r} is not known here: the output was not computed again")
            continue
        with checks.checking(f"recomputed.{proof.kind}", f"{proof.program} gives the same output from the readings"):
            again = known.output_of(Window(recorded.domain, statement, document.task.opening, readings))
            if again is None:
                checks.notes.append(f"program {proof.program!r} offers no plain computation")
            else:
                same = again == document.task.public_output
                require(same, PROOF, f"the readings give 0x{again.hex()}, the settled output is another")
