"""What a WASM program is given and what it gives back (docs/reference/tee.md, "Program ABI"), version 1."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from verifier.errors import Refused
from verifier.outputs import WORD, decode_outputs
from verifier.reading import Reading

ABI_VERSION = 1
MAGIC = b"W3BI"
_HEADER = struct.Struct("<4sIII")
"""Magic, version, devices in the project's set, readings."""
_RECORD = struct.Struct("<IIQQ")
"""Device's place in the set, bytes of payload, sequence, timestamp in milliseconds; the payload follows."""
ALIGNMENT = 8


def encode_input(readings: Sequence[Reading], indices: Mapping[bytes, int]) -> bytes:
    """A program's input; header and records begin at multiples of 8 bytes.

    Parameters: `readings` are in the commitment scheme's order; `indices` is every device's place in the device set.
    """
    parts = [_HEADER.pack(MAGIC, ABI_VERSION, len(indices), len(readings))]
    for reading in readings:
        parts.append(
            _RECORD.pack(indices[reading.device], len(reading.payload), reading.sequence, reading.timestamp)
            + reading.payload
            + bytes(-len(reading.payload) % ALIGNMENT)
        )
    return b"".join(parts)


def check_output(outputs: Sequence[str], data: bytes) -> bytes:
    """The program's words, where they are the canonical encoding of its manifest's outputs without the completeness.

    Raises Refused (W3B-4033) for another length, or a word that is no canonical encoding of its type.
    """
    if len(data) != WORD * len(outputs):
        raise Refused(
            "W3B-4033",
            f"the program gave {len(data)} bytes; its {len(outputs)} outputs have {WORD * len(outputs)}",
            field="output",
        )
    try:
        if outputs:
            decode_outputs(outputs, data)
    except Refused as error:
        raise Refused("W3B-4033", f"output {error.field}: {error.message}", field=error.field) from error
    return data
