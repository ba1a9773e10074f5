"""Public signals of a circuit program, from the Statement's parts and nothing else (docs/reference/encodings.md §4).

The adapter contract, the off-chain verifier and the prover all build them here or from the same text.
"""

from __future__ import annotations

from verifier.errors import InvalidInput, Refused
from verifier.field import R
from verifier.statement import Opening

MAX_OUTPUT_WORDS = 16
"""Words of a public output, its completeness among them."""
WORD_LIMIT = 1 << 252
"""A word of the public output must be below this in absolute value, so that words map to signals one to one."""

PROJECT_LIMIT = 1 << 64
"""A project id must be below this, so that its signal and what a device signs hold it whole."""


def output_signals(public_output: bytes) -> list[int]:
    """One signal for each 32-byte word: w for w >= 0, r - |w| for w < 0.

    Raises Refused W3B-4020 for a length that is no whole number of words, 1 to 16, or a word of 2^252 or more.
    """
    if len(public_output) % 32 or not 1 <= len(public_output) // 32 <= MAX_OUTPUT_WORDS:
        raise Refused(
            "W3B-4020", f"the public output has {len(public_output)} bytes, not 1 to 16 words", field="output"
        )
    signals = []
    for at in range(0, len(public_output), 32):
        word = int.from_bytes(public_output[at : at + 32], "big", signed=True)
        if abs(word) >= WORD_LIMIT:
            raise Refused("W3B-4020", f"word {at // 32} of the public output is 2^252 or more: {word}", field="output")
        signals.append(word % R)
    return signals


def public_signals(statement_digest: bytes, opening: Opening, project_id: int, public_output: bytes) -> list[int]:
    """All public signals in the circuit's order.

    Parameters: `statement_digest` 32 bytes; `opening` what the Statement's `inputs` commits to; `project_id` uint64;
    `public_output` the canonical ABI encoding. Raises InvalidInput or Refused, both W3B-4020, for a value out of range,
    and Refused W3B-4013 for a public output that does not end with the opening's completeness.
    """
    device_set_root = int.from_bytes(opening.device_set_root, "big")
    readings_root = int.from_bytes(opening.readings_root, "big")
    for name, value, limit in (
        ("readings_root", readings_root, R),
        ("device_set_root", device_set_root, R),
        ("project_id", project_id, PROJECT_LIMIT),
        ("window_start", opening.window_start, 1 << 64),
        ("window_end", opening.window_end, 1 << 64),
        ("count", opening.count, 1 << 32),
    ):
        if not 0 <= value < limit:
            raise InvalidInput("W3B-4020", f"{name} {value} is out of range", field=name)
    if len(statement_digest) != 32:
        raise InvalidInput("W3B-4020", f"the Statement digest has {len(statement_digest)} bytes", field="digest")
    outputs = output_signals(public_output)
    opening.completeness.require_stated(public_output)
    return [
        readings_root,
        *outputs,
        int.from_bytes(statement_digest[:16], "big"),
        int.from_bytes(statement_digest[16:], "big"),
        project_id,
        device_set_root,
        opening.window_start,
        opening.window_end,
        opening.count,
    ]
