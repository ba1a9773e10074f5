"""A program's public output, by name: the strict reading of its ABI encoding (docs/reference/encodings.md §3).

A program's manifest lists its outputs as `"<Solidity type> <name>"`. Only static one-word types are allowed, at most
16.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from verifier.errors import InvalidInput, Refused

WORD = 32
MAX_WORDS = 16
_OUTPUT = re.compile(r"(bool|address|u?int([1-9][0-9]{0,2})|bytes([1-9][0-9]?)) ([A-Za-z_][A-Za-z0-9_]{0,63})")


@dataclass(frozen=True)
class DecodedOutput:
    """One value of a public output."""

    name: str
    """As the manifest calls it."""
    type: str
    """Solidity type, such as `int64`."""
    value: str
    """Integers in decimal, bool as `true` or `false`, address and bytesN as 0x hex."""


def parse_outputs(outputs: Sequence[str]) -> list[tuple[str, str]]:
    """(name, type) of each output of a manifest. Raises InvalidInput (W3B-4002) for an unknown form or type."""
    parsed = []
    for text in outputs:
        match = _OUTPUT.fullmatch(text)
        bits, width = (match.group(2), match.group(3)) if match else (None, None)
        if match is None or (bits and (int(bits) % 8 or int(bits) > 256)) or (width and int(width) > WORD):
            raise InvalidInput(
                "W3B-4002", f"output {text[:100]!r} is not `<static Solidity type> <name>`", field="outputs"
            )
        parsed.append((match.group(4), match.group(1)))
    names = [name for name, _ in parsed]
    if not 1 <= len(parsed) <= MAX_WORDS or len(set(names)) != len(names):
        raise InvalidInput("W3B-4002", f"outputs {names} are not 1 to {MAX_WORDS} different names", field="outputs")
    return parsed


def _integer(kind: str, word: bytes) -> str | None:
    signed = kind.startswith("int")
    bits = int(kind.removeprefix("u").removeprefix("int"))
    value = int.from_bytes(word, "big", signed=signed)
    low, high = (-(1 << (bits - 1)), 1 << (bits - 1)) if signed else (0, 1 << bits)
    return str(value) if low <= value < high else None


def _value(kind: str, word: bytes) -> str | None:
    """The word's value, or None where the word is no canonical encoding of the type."""
    if kind == "bool":
        return {0: "false", 1: "true"}.get(int.from_bytes(word, "big"))
    if kind == "address":
        return None if any(word[:12]) else "0x" + word[12:].hex()
    if kind.startswith("bytes"):
        width = int(kind.removeprefix("bytes"))
        return None if any(word[width:]) else "0x" + word[:width].hex()
    return _integer(kind, word)


def decode_outputs(outputs: Sequence[str], data: bytes) -> list[DecodedOutput]:
    """The values of a public output.

    Parameters: `outputs` as the manifest lists them; `data` has 32 bytes for each. Raises Refused (W3B-4013) for
    another length or a word that is no canonical encoding (Solidity ABI, "Strict Encoding Mode"), InvalidInput
    (W3B-4002) for a list that is not valid.
    """
    parsed = parse_outputs(outputs)
    if len(data) != WORD * len(parsed):
        raise Refused(
            "W3B-4013", f"{len(data)} bytes; {len(parsed)} outputs have {WORD * len(parsed)}", field="public_output"
        )
    decoded = []
    for at, (name, kind) in enumerate(parsed):
        word = data[WORD * at : WORD * (at + 1)]
        value = _value(kind, word)
        if value is None:
            raise Refused("W3B-4013", f"0x{word.hex()} is no canonical {kind}", field=name)
        decoded.append(DecodedOutput(name, kind, value))
    return decoded
