"""The Groth16 adapter off chain: the same checks, in the same order, as the contract (docs/reference/encodings.md §4).

Everything is taken from the Statement, its opening and the public output; the proof brings its three points and the
opening, nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

from eth_hash.auto import keccak

from native._native import Groth16Error, groth16_verify
from verifier.completeness import Completeness
from verifier.errors import InvalidInput, Refused
from verifier.field import R
from verifier.signals import PROJECT_LIMIT, public_signals
from verifier.statement import Domain, Opening, Statement, program_id, task_id

KIND = "zkp.groth16"
"""Proof kind of this adapter."""
WORD = 32
POINTS_BYTES = 256
"""a (64) ‖ b (128) ‖ c (64), big-endian, G2 imaginary part first."""
PROOF_BYTES = POINTS_BYTES + 9 * WORD
"""544."""


def groth16_program_id(verifying_key: bytes) -> bytes:
    """The program id of a circuit, 32 bytes: its artifact is keccak256 of the verifying key's ABI encoding."""
    return program_id(KIND, keccak(verifying_key))


_NUMBERS = {
    "windowStart": 64,
    "windowEnd": 64,
    "count": 32,
    "missing": 64,
    "duplicates": 32,
    "late": 32,
    "reordered": 32,
}
"""The opening's numbers in ABI order and their bits."""


@dataclass(frozen=True)
class Groth16Proof:
    """A proof as the adapter takes it: 544 bytes."""

    points: bytes
    """256 bytes."""
    opening: Opening
    """What the Statement's `inputs` commits to."""

    def encode(self) -> bytes:
        """`abi.encode(a, b, c, opening)`, 544 bytes."""
        opening = self.opening
        numbers = (opening.window_start, opening.window_end, opening.count)
        words = (opening.readings_root, opening.device_set_root, *(n.to_bytes(WORD, "big") for n in numbers))
        return self.points + b"".join(words) + opening.completeness.encode()

    @classmethod
    def decode(cls, data: bytes) -> Groth16Proof:
        """Exactly what `encode` writes. Raises Refused W3B-4010 for another length, padding or a root of r or more."""
        if len(data) != PROOF_BYTES:
            raise Refused("W3B-4010", f"the proof has {len(data)} bytes, not {PROOF_BYTES}", field="proof")
        words = [data[at : at + WORD] for at in range(POINTS_BYTES, PROOF_BYTES, WORD)]
        for name, word in zip(("readingsRoot", "deviceSetRoot"), words[:2], strict=True):
            if int.from_bytes(word, "big") >= R:
                raise Refused("W3B-4010", f"{name} {word.hex()} is not below the field's order", field=name)
        numbers = []
        for (name, bits), word in zip(_NUMBERS.items(), words[2:], strict=True):
            number = int.from_bytes(word, "big")
            if number >> bits:
                raise Refused("W3B-4010", f"{name} {word.hex()} is not a uint{bits}", field=name)
            numbers.append(number)
        start, end, count, *completeness = numbers
        return cls(data[:POINTS_BYTES], Opening(words[0], words[1], start, end, count, Completeness(*completeness)))


_FIELD_BYTES = {"task_id": 32, "inputs": 32, "output": 32, "program_id": 32, "prover": 20}
"""Length of each of the Statement's byte fields."""


def _check_ranges(statement: Statement) -> None:
    """Require that every field fits its Solidity type and the project id its signal, as on chain the ABI decoder does."""
    for name, limit in (("project_id", PROJECT_LIMIT), ("project_version", 1 << 32)):
        number = getattr(statement, name)
        if not 0 <= number < limit:
            raise Refused("W3B-4020", f"the Statement's {name} {number} is not below {limit}", field=name)
    for name, length in _FIELD_BYTES.items():
        data = getattr(statement, name)
        if len(data) != length:
            raise Refused(
                "W3B-4020", f"the Statement's {name} {data.hex()} has {len(data)} bytes, not {length}", field=name
            )


def _check_opening(statement: Statement, opening: Opening) -> None:
    if opening.commitment() != statement.inputs:
        raise Refused(
            "W3B-4011",
            f"the proof opens {opening.commitment().hex()}, the Statement commits to {statement.inputs.hex()}",
            field="inputs",
        )
    span = opening.window_end - opening.window_start
    if not (0 < opening.window_start < opening.window_end and 1 <= opening.count <= span):
        raise Refused(
            "W3B-4011",
            f"window [{opening.window_start}, {opening.window_end}) cannot hold {opening.count} readings",
            field="window",
        )
    if not opening.completeness.possible(opening.count, span):
        raise Refused(
            "W3B-4011",
            f"{opening.count} readings in {span} positions cannot have {opening.completeness}",
            field="completeness",
        )
    expected = task_id(statement.project_id, statement.project_version, opening.window_start, opening.window_end)
    if statement.task_id != expected:
        raise Refused(
            "W3B-4012", f"task id {statement.task_id.hex()} is not the window's {expected.hex()}", field="taskId"
        )


def verify_groth16(
    verifying_key: bytes, domain: Domain, statement: Statement, public_output: bytes, proof: bytes
) -> Opening:
    """Check a 544-byte proof of `statement` with `public_output`; returns the opening that it proved.

    Raises Refused: W3B-4010 malformed proof or point, W3B-4011 other inputs, W3B-4012 task or program id, W3B-4013
    another output or completeness, W3B-4014 the proof does not hold, W3B-4020 a field of the Statement of another
    length or out of its range, or a word of the output out of its signal's range.
    """
    _check_ranges(statement)
    decoded = Groth16Proof.decode(proof)
    if statement.program_id != groth16_program_id(verifying_key):
        raise Refused(
            "W3B-4012", f"program id {statement.program_id.hex()} is not this verifying key's", field="programId"
        )
    if keccak(public_output) != statement.output:
        raise Refused(
            "W3B-4013", f"the public output does not hash to the Statement's {statement.output.hex()}", field="output"
        )
    _check_opening(statement, decoded.opening)
    try:
        signals = public_signals(statement.digest(domain), decoded.opening, statement.project_id, public_output)
    except InvalidInput as error:
        raise Refused(error.code, error.message, field=error.field) from error
    words = b"".join(signal.to_bytes(WORD, "big") for signal in signals)
    try:
        holds = groth16_verify(verifying_key, words, decoded.points)
    except Groth16Error as error:
        raise Refused("W3B-4010", error.args[1], field="proof") from error
    if not holds:
        raise Refused(
            "W3B-4014", f"the proof does not hold for Statement {statement.digest(domain).hex()}", field="proof"
        )
    return decoded.opening
