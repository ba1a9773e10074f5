"""What every kind's verifier asks of a Statement, its opening and its public output before it looks at the proof.

The twin of contracts/Openings.sol; docs/reference/encodings.md has the encodings.
"""

from __future__ import annotations

from eth_hash.auto import keccak

from verifier.completeness import Completeness
from verifier.errors import Refused
from verifier.signals import PROJECT_LIMIT
from verifier.statement import Opening, Statement, task_id

WORD = 32
OPENING_BYTES = 9 * WORD
"""Of `abi.encode(Opening)`."""
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


def encode_opening(opening: Opening) -> bytes:
    """`abi.encode(opening)`, 288 bytes."""
    numbers = (opening.window_start, opening.window_end, opening.count)
    words = (opening.readings_root, opening.device_set_root, *(n.to_bytes(WORD, "big") for n in numbers))
    return b"".join(words) + opening.completeness.encode()


def decode_opening(data: bytes) -> Opening:
    """Exactly what `encode_opening` writes. Raises Refused W3B-4010 for another length or padding."""
    if len(data) != OPENING_BYTES:
        raise Refused("W3B-4010", f"the opening has {len(data)} bytes, not {OPENING_BYTES}", field="opening")
    words = [data[at : at + WORD] for at in range(0, OPENING_BYTES, WORD)]
    numbers = []
    for (name, bits), word in zip(_NUMBERS.items(), words[2:], strict=True):
        number = int.from_bytes(word, "big")
        if number >> bits:
            raise Refused("W3B-4010", f"{name} {word.hex()} is not a uint{bits}", field=name)
        numbers.append(number)
    start, end, count, *completeness = numbers
    return Opening(words[0], words[1], start, end, count, Completeness(*completeness))


_FIELD_BYTES = {"task_id": 32, "inputs": 32, "output": 32, "program_id": 32, "prover": 20}
"""Length of each of the Statement's byte fields."""


def check_ranges(statement: Statement) -> None:
    """Require that every field fits its Solidity type and the project id its signal, as on chain the ABI decoder does.

    Raises Refused (W3B-4020).
    """
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


def check_output(statement: Statement, public_output: bytes) -> None:
    """Require the public output that the Statement's hash names. Raises Refused (W3B-4013)."""
    if keccak(public_output) != statement.output:
        raise Refused(
            "W3B-4013", f"the public output does not hash to the Statement's {statement.output.hex()}", field="output"
        )


def check_opening(statement: Statement, opening: Opening) -> None:
    """Require the opening that `inputs` commits to, of a window that can be, in the task that the Statement names.

    Raises Refused: W3B-4011, W3B-4012.
    """
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
