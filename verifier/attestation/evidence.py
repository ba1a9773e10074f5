"""Evidence and endorsements as they arrive: bounded, and in the spellings in which files of them are passed around."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from verifier.errors import InvalidInput, Refused

MAX_EVIDENCE = 256 * 1024
"""Bytes of one piece of evidence; the largest genuine one, a GPU report in hex, has 40 kB."""
MAX_ENDORSEMENT = 1024 * 1024
"""Bytes of one endorsement; TCB info of the largest platforms has 20 kB, an NVIDIA RIM 60 kB."""
MAX_ENDORSEMENTS = 64
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]+={0,2}")
_JWT = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")


class Platform(StrEnum):
    """The platforms, with the names of the program kinds `tee.<platform>`."""

    SGX = "sgx"
    TDX = "tdx"
    SEV = "sev"
    SEV_SNP = "sev-snp"
    NITRO = "nitro"
    CCA = "cca"
    NVIDIA_H100 = "nvidia-h100"


def malformed(where: str, why: str) -> InvalidInput:
    """The error for evidence whose form is wrong (W3B-9101)."""
    return InvalidInput("W3B-9101", f"{where} {why}", field=where)


def unknown_version(where: str, why: str) -> InvalidInput:
    """The error for a version or algorithm that is not known (W3B-9102)."""
    return InvalidInput("W3B-9102", f"{where} {why}", field=where)


def missing(where: str, why: str = "is missing") -> InvalidInput:
    """The error for an endorsement that is not there (W3B-9103)."""
    return InvalidInput("W3B-9103", f"{where} {why}", field=where)


def bad_endorsement(where: str, why: str) -> InvalidInput:
    """The error for an endorsement whose form is wrong (W3B-9104)."""
    return InvalidInput("W3B-9104", f"{where} {why}", field=where)


def refused(code: str, where: str, why: str) -> Refused:
    """A check that does not hold; W3B-9105 to W3B-9113."""
    return Refused(code, f"{where} {why}", field=where)


@dataclass(frozen=True)
class Evidence:
    """What an attester handed over.

    Raises InvalidInput (W3B-9101) for no bytes or more than `MAX_EVIDENCE`.
    """

    platform: Platform
    data: bytes
    """In the platform's own binary form."""

    def __post_init__(self) -> None:
        if not 0 < len(self.data) <= MAX_EVIDENCE:
            raise malformed("evidence", f"has {len(self.data)} bytes; 1 to {MAX_EVIDENCE}")

    @property
    def sha256(self) -> str:
        """Digest of the bytes, hex."""
        return hashlib.sha256(self.data).hexdigest()

    @classmethod
    def from_file(cls, platform: Platform, content: bytes) -> Evidence:
        """Evidence from a file in binary, hex (with or without 0x), base64 or base64url.

        Raises InvalidInput: W3B-9101; W3B-9102 for a JWT, which is a service's verdict about evidence, not evidence.
        """
        if len(content) > 3 * MAX_EVIDENCE:
            raise malformed("evidence", f"has {len(content)} bytes; 1 to {MAX_EVIDENCE}, or their hex or base64")
        return cls(platform, _unwrapped(content))


def _unwrapped(content: bytes) -> bytes:
    """The binary form; text is told from it by having no byte outside of its alphabet."""
    text = b"".join(content.split())
    if len(text) < 16:
        return content
    bare = text[2:] if text[:2] in (b"0x", b"0X") else text
    if len(bare) % 2 == 0 and re.fullmatch(rb"[0-9a-fA-F]+", bare):
        return bytes.fromhex(bare.decode("ascii"))
    if _BASE64.fullmatch(text):
        return _base64(text)
    if _JWT.fullmatch(text):
        raise unknown_version("evidence", "is a JWT, a service's verdict; give the evidence that the platform signed")
    return content


def _base64(text: bytes) -> bytes:
    bare = text.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    try:
        return base64.b64decode(bare + b"=" * (-len(bare) % 4), validate=True)
    except binascii.Error as error:
        raise malformed("evidence", f"is no base64: {error}") from error


@dataclass(frozen=True)
class Endorsements:
    """Collateral by name: what the vendor says about the platform that signed the evidence.

    Names by platform: docs/reference/attestation.md. Raises InvalidInput (W3B-9104) for too many or too large ones.
    """

    parts: Mapping[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.parts) > MAX_ENDORSEMENTS:
            raise bad_endorsement("collateral", f"has {len(self.parts)} parts; at most {MAX_ENDORSEMENTS}")
        for name, part in self.parts.items():
            if len(part) > MAX_ENDORSEMENT:
                raise bad_endorsement(f"collateral.{name}", f"has {len(part)} bytes; at most {MAX_ENDORSEMENT}")

    def get(self, name: str) -> bytes:
        """A part. Raises InvalidInput (W3B-9103) where it is missing."""
        if name not in self.parts:
            raise missing(f"collateral.{name}")
        return self.parts[name]

    @property
    def digest(self) -> str:
        """SHA-256, hex, over name, length and bytes of each part in the order of the names; empty for none."""
        if not self.parts:
            return ""
        state = hashlib.sha256()
        for name, part in sorted(self.parts.items()):
            state.update(len(name.encode()).to_bytes(4, "big") + name.encode())
            state.update(len(part).to_bytes(8, "big") + part)
        return state.hexdigest()


MAX_JSON_DEPTH = 24
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


def read_json(data: bytes, where: str) -> object:
    """A JSON endorsement: UTF-8, names distinct, bounded nesting. Raises InvalidInput (W3B-9104)."""
    try:
        text = data.decode("utf-8")
        depth = 0
        for match in _JSON_TOKEN.finditer(text):
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
            if depth > MAX_JSON_DEPTH:
                raise bad_endorsement(where, f"nests deeper than {MAX_JSON_DEPTH} levels")
        found: object = json.loads(text, object_pairs_hook=_distinct)
    except ValueError as error:
        raise bad_endorsement(where, f"is no JSON: {str(error)[:120]}") from error
    return found


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found
