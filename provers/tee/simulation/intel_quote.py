"""Quotes of the simulated Intel machine: its quoting enclave signs reports of enclaves and trust domains.

Layouts as in `verifier.attestation.intel_quote`; all integers are little-endian.
"""

from __future__ import annotations

import hashlib
import struct

from provers.tee.simulation.certificates import pem, public_point
from provers.tee.simulation.cose import raw_signature
from provers.tee.simulation.intel import CPU_SVN, PCE_SVN, IntelHierarchy
from verifier.attestation.intel_quote import ECDSA_P256, INTEL_QE, PCK_CHAIN, QE_REPORT, SGX_TEE, TDX_TEE

QE_SIGNER, QE_PRODUCT = hashlib.sha256(b"SIMULATED quoting enclave's signer").digest(), 1
"""MRSIGNER and ISVPRODID of the quoting enclave."""
QE_SVN = 1
INIT, DEBUG, MODE64 = 0x01, 0x02, 0x10
"""Bits of an enclave's attributes (Intel SDM vol. 3D, ATTRIBUTES)."""
TD_REPORT_KINDS = {584: 2, 648: 3}
"""Body type of a quote v5 by the TD report's length: TDX 1.0 and 1.5."""
_USER_DATA = b"SIMULATED".ljust(20, b"\0")
_AUTH_DATA = b"SIMULATED".ljust(32, b"\0")


def enclave_report(
    report_data: bytes, mrenclave: bytes, mrsigner: bytes, *, product: int = 0, svn: int = 1, debug: bool = False
) -> bytes:
    """A report body (REPORTBODY), 384 bytes. Parameters: 64, 32 and 32 bytes."""
    attributes = bytes([INIT | MODE64 | (DEBUG if debug else 0)]) + bytes(15)
    identity = attributes + mrenclave + bytes(32) + mrsigner + bytes(96)
    return CPU_SVN + bytes(32) + identity + struct.pack("<HH", product, svn) + bytes(60) + report_data


class QuotingEnclave:
    """Signs quotes; what does not change from one to the next is made once."""

    def __init__(self, hierarchy: IntelHierarchy) -> None:
        self._key = hierarchy.quoting_key
        self._point = public_point(self._key)[1:]
        bound = hashlib.sha256(self._point + _AUTH_DATA).digest() + bytes(32)
        report = enclave_report(bound, bytes(32), QE_SIGNER, product=QE_PRODUCT, svn=QE_SVN)
        chain = pem(hierarchy.pck, hierarchy.pck_ca, hierarchy.root) + b"\0"
        self._certified = (
            report
            + raw_signature(hierarchy.pck_key, report)
            + struct.pack("<H", len(_AUTH_DATA))
            + _AUTH_DATA
            + struct.pack("<HI", PCK_CHAIN, len(chain))
            + chain
        )

    def sgx(self, report: bytes) -> bytes:
        """A quote v3 over an enclave report."""
        header = struct.pack("<HHIHH16s20s", 3, ECDSA_P256, SGX_TEE, QE_SVN, PCE_SVN, INTEL_QE, _USER_DATA)
        return self._quote(header + report, self._certified)

    def tdx(self, report: bytes, version: int = 4) -> bytes:
        """A quote v4 (TD report 1.0) or v5 over a TD report."""
        header = struct.pack("<HHII16s20s", version, ECDSA_P256, TDX_TEE, 0, INTEL_QE, _USER_DATA)
        kind = struct.pack("<HI", TD_REPORT_KINDS[len(report)], len(report)) if version == 5 else b""
        certified = struct.pack("<HI", QE_REPORT, len(self._certified)) + self._certified
        return self._quote(header + kind + report, certified)

    def _quote(self, signed: bytes, certified: bytes) -> bytes:
        section = raw_signature(self._key, signed) + self._point + certified
        return signed + struct.pack("<I", len(section)) + section
