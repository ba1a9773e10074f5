"""Files of signed readings in wire form, one after another (docs/reference/encodings.md §1.1 delimits each)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from coordinator.cli.user_file import unreadable
from verifier.errors import InvalidInput, W3bstreamError
from verifier.reading import MAX_PAYLOAD, Reading

HEAD = 1 + 1 + 64 + 8 + 20 + 8 + 8 + 4
"""Bytes before the payload; the last four are its length."""


def wire_readings(path: Path) -> Iterator[bytes]:
    """Each reading of the file. Raises InvalidInput (W3B-7016) with the byte offset of the first bad one."""
    at = 0
    try:
        with path.open("rb") as file:
            while head := file.read(HEAD):
                size = int.from_bytes(head[-4:], "big")
                payload = file.read(size) if size <= MAX_PAYLOAD else b""
                try:
                    Reading.from_wire(head + payload)
                except W3bstreamError as error:
                    raise InvalidInput("W3B-7016", f"{path} at byte {at}: {error.message}", field="file") from error
                yield head + payload
                at += HEAD + size
    except OSError as error:
        raise unreadable(path, error) from error
    if not at:
        raise InvalidInput("W3B-7016", f"{path} is empty", field="file")
