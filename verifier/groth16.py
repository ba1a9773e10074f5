"""The Groth16 adapter off chain: the same checks, in the same order, as the contract (docs/reference/encodings.md §4).

Everything is taken from the Statement, its opening and the public output; the proof brings its three points and the
opening, nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

from eth_hash.auto import keccak

from native._native import Groth16Error, groth16_verify
from verifier.errors import InvalidInput, Refused
from verifier.field import R
from verifier.opening import OPENING_BYTES, check_opening, check_output, check_ranges, decode_opening, encode_opening
from verifier.signals import public_signals
from verifier.statement import Domain, Opening, Statement, program_id

KIND = "zkp.groth16"
"""Proof kind of this adapter."""
WORD = 32
POINTS_BYTES = 256
"""a (64) ‖ b (128) ‖ c (64), big-endian, G2 imaginary part first."""
PROOF_BYTES = POINTS_BYTES + OPENING_BYTES
"""544."""


def groth16_program_id(verifying_key: bytes) -> bytes:
    """The program id of a circuit, 32 bytes: its artifact is keccak256 of the verifying key's ABI encoding."""
    return program_id(KIND, keccak(verifying_key))


@dataclass(frozen=True)
class Groth16Proof:
    """A proof as the adapter takes it: 544 bytes."""

    points: bytes
    """256 bytes."""
    opening: Opening
    """What the Statement's `inputs` commits to."""

    def encode(self) -> bytes:
        """`abi.encode(a, b, c, opening)`, 544 bytes."""
        return self.points + encode_opening(self.opening)

    @classmethod
    def decode(cls, data: bytes) -> Groth16Proof:
        """Exactly what `encode` writes. Raises Refused W3B-4010 for another length, padding or a root of r or more."""
        if len(data) != PROOF_BYTES:
            raise Refused("W3B-4010", f"the proof has {len(data)} bytes, not {PROOF_BYTES}", field="proof")
        opening = decode_opening(data[POINTS_BYTES:])
        for name, root in (("readingsRoot", opening.readings_root), ("deviceSetRoot", opening.device_set_root)):
            if int.from_bytes(root, "big") >= R:
                raise Refused("W3B-4010", f"{name} {root.hex()} is not below the field's order", field=name)
        return cls(data[:POINTS_BYTES], opening)


def verify_groth16(
    verifying_key: bytes, domain: Domain, statement: Statement, public_output: bytes, proof: bytes
) -> Opening:
    """Check a 544-byte proof of `statement` with `public_output`; returns the opening that it proved.

    Raises Refused: W3B-4010 malformed proof or point, W3B-4011 other inputs, W3B-4012 task or program id, W3B-4013
    another output or completeness, W3B-4014 the proof does not hold, W3B-4020 a field of the Statement of another
    length or out of its range, or a word of the output out of its signal's range.
    """
    check_ranges(statement)
    decoded = Groth16Proof.decode(proof)
    if statement.program_id != groth16_program_id(verifying_key):
        raise Refused(
            "W3B-4012", f"program id {statement.program_id.hex()} is not this verifying key's", field="programId"
        )
    check_output(statement, public_output)
    check_opening(statement, decoded.opening)
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
