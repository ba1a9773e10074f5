"""Caller data as an attester takes it: exactly the fields that its platform has."""

from __future__ import annotations

from verifier.attestation.binding import CallerData
from verifier.attestation.evidence import malformed


def only(caller: CallerData, name: str, size: int) -> bytes:
    """The one field of caller data. Raises InvalidInput (W3B-9101) where it is missing, of another size, or not alone."""
    others = sorted(each for each, value in caller.items() if each != name and value is not None)
    if others:
        raise malformed(f"caller.{others[0]}", f"has no place in this platform's evidence; {name} has")
    value = caller.get(name)
    if value is None or len(value) != size:
        raise malformed(f"caller.{name}", f"has {len(value or b'')} bytes, not {size}")
    return value
