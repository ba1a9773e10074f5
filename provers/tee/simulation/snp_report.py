"""What firmware and AMD say of a SEV-SNP machine: its report (AMD document 56860, table ATTESTATION_REPORT) and the
extensions of its signing key's certificate (AMD document 57230, table of VCEK and VLEK extensions).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from provers.tee.simulation.cose import scalars
from provers.tee.simulation.der import element, integer
from verifier.errors import InvalidInput

OID = "1.3.6.1.4.1.3704.1"
"""Under which every extension stands."""
SIGNED_BYTES, REPORT_BYTES, SCALAR_BYTES = 0x2A0, 1184, 72
ECDSA_P384_SHA384 = 1
RESERVED_ONE, ALLOW_SMT, ALLOW_DEBUG = 1 << 17, 1 << 16, 1 << 19
"""Bits of a guest's policy (table GUEST_POLICY)."""
_SIGNED_BY_VLEK = 1 << 2
_IA5_STRING = 0x16
_RESERVED_LEVELS = ("3.4", "3.5", "3.6", "3.7")
_CPUID: Mapping[str, bytes] = {"Milan": b"\x19\x01\x01", "Genoa": b"\x19\x11\x01", "Turin": b"\x1a\x02\x01"}
"""Family, model and stepping."""


@dataclass(frozen=True)
class Tcb:
    """Security patch levels, each 0 to 255 (table TCB_VERSION)."""

    bootloader: int = 4
    tee: int = 1
    snp: int = 22
    microcode: int = 213
    fmc: int = 9
    """Of Turin alone."""


@dataclass(frozen=True)
class Machine:
    """A machine whose firmware signs reports. Raises InvalidInput (W3B-9101) for another product or chip length."""

    chip_id: bytes
    """64 bytes; 8 for Turin."""
    product: str = "Milan"
    """Milan, Genoa or Turin."""
    tcb: Tcb = Tcb()
    provider: str | None = None
    """Of the cloud whose VLEK signs; None where the chip's own VCEK does."""
    report_version: int = 3
    """2 to 5; the processor's family stands in it from 3, mitigations from 5."""

    def __post_init__(self) -> None:
        if self.product not in _CPUID:
            raise InvalidInput("W3B-9101", f"product is {self.product!r}, none of {list(_CPUID)}", field="product")
        if len(self.chip_id) != self._chip_bytes:
            why = f"chip_id has {len(self.chip_id)} bytes, not {self._chip_bytes}"
            raise InvalidInput("W3B-9101", why, field="chip_id")

    @property
    def _chip_bytes(self) -> int:
        return 8 if self.product == "Turin" else 64

    @property
    def tcb_bytes(self) -> bytes:
        """The levels as they stand in a report, 8 bytes."""
        tcb = self.tcb
        if self.product == "Turin":
            return bytes([tcb.fmc, tcb.bootloader, tcb.tee, tcb.snp, 0, 0, 0, tcb.microcode])
        return bytes([tcb.bootloader, tcb.tee, 0, 0, 0, 0, tcb.snp, tcb.microcode])

    def endorsement(self) -> dict[str, bytes]:
        """The extensions of its VCEK or VLEK, DER by the number behind `OID`, in the order of genuine ones."""
        tcb = self.tcb
        # A chip's certificate names its stepping, a provider's does not.
        found = {"1": integer(0), "2": _ia5(f"{self.product}-B1" if self.provider is None else self.product)}
        found |= {"3.1": integer(tcb.bootloader), "3.2": integer(tcb.tee)}
        found |= {number: integer(0) for number in _RESERVED_LEVELS}
        found |= {"3.3": integer(tcb.snp), "3.8": integer(tcb.microcode)}
        if self.product == "Turin":
            found["3.9"] = integer(tcb.fmc)
        if self.provider is None:
            found["4"] = self.chip_id  # bare, not in a DER value: so AMD's are
        else:
            found["5"] = _ia5(self.provider)
        return found

    def body(
        self,
        report_data: bytes,
        measurement: bytes,
        host_data: bytes = bytes(32),
        *,
        policy: int = RESERVED_ONE | ALLOW_SMT,
        guest_svn: int = 0,
        report_id: bytes = bytes(32),
    ) -> bytes:
        """The part of a report that is signed, by privilege level 0, firmware 1.55.21.

        Parameters: `report_data` has 64 bytes, `measurement` 48, `host_data` and `report_id` (of the guest) 32.
        """
        body = bytearray(SIGNED_BYTES)
        struct.pack_into("<IIQ", body, 0x00, self.report_version, guest_svn, policy)
        struct.pack_into("<I", body, 0x34, ECDSA_P384_SHA384)
        struct.pack_into("<I", body, 0x48, 0 if self.provider is None else _SIGNED_BY_VLEK)
        struct.pack_into("<64s48s32s", body, 0x50, report_data, measurement, host_data)
        struct.pack_into("<32s32s", body, 0x140, report_id, b"\xff" * 32)  # of the guest, and of no migration agent
        for offset in (0x38, 0x180, 0x1E0, 0x1F0):  # current, reported, committed and launch TCB
            body[offset : offset + 8] = self.tcb_bytes
        if self.report_version >= 3:
            body[0x188:0x18B] = _CPUID[self.product]
        if self.provider is None:
            body[0x1A0 : 0x1A0 + len(self.chip_id)] = self.chip_id
        body[0x1E8:0x1EB], body[0x1EC:0x1EF] = bytes([21, 55, 1]), bytes([20, 55, 1])  # current, committed firmware
        if self.report_version >= 5:
            struct.pack_into("<QQ", body, 0x1F8, 3, 7)  # mitigations at launch, and now
        return bytes(body)


def signed(body: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """The report of a body: r and s little-endian in 72 bytes each, then zeros. Parameters: `key` is of P-384."""
    return (body + little_endian_signature(key, body)).ljust(REPORT_BYTES, b"\0")


def little_endian_signature(
    key: ec.EllipticCurvePrivateKey, message: bytes, digest: hashes.HashAlgorithm | None = None
) -> bytes:
    """An ECDSA signature as AMD's firmware writes it, r and s in 144 bytes. Parameters: as `cose.scalars`."""
    return b"".join(each.to_bytes(SCALAR_BYTES, "little") for each in scalars(key, message, digest))


def _ia5(text: str) -> bytes:
    return element(_IA5_STRING, text.encode("ascii"))
