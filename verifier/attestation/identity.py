"""Which program evidence speaks for: the artifact of a `tee.<platform>` program id, from signed measurements alone.

artifact = keccak256 over the platform's `IDENTITY` fields, one after the other, each as the evidence has it; a contract
that reads the evidence computes the same. docs/reference/attestation.md, "Program id".
"""

from __future__ import annotations

from collections.abc import Mapping

from eth_hash.auto import keccak

from verifier.attestation.evidence import Platform, malformed
from verifier.statement import program_id

IDENTITY: Mapping[Platform, tuple[tuple[str, int], ...]] = {
    Platform.SGX: (("mrenclave", 32),),
    Platform.TDX: (("mrtd", 48), ("mrconfigid", 48), ("rtmr0", 48), ("rtmr1", 48), ("rtmr2", 48), ("rtmr3", 48)),
    Platform.SEV: (("launch_digest", 32),),
    Platform.SEV_SNP: (("measurement", 48), ("host_data", 32)),
    Platform.NITRO: (("pcr0", 48), ("pcr1", 48), ("pcr2", 48)),
    Platform.CCA: (("rim", 32), ("rem0", 32), ("rem1", 32), ("rem2", 32), ("rem3", 32), ("rpv", 64)),
}
"""Measurements that name a program with all it was configured with, and the bytes of each.

An H100 measures its firmware, not what runs on it: a program of kind `tee.nvidia-h100` is identified by the evidence of
the CPU that vouches for the GPU.
"""
KIND_PREFIX = "tee."


def kind_of(platform: Platform) -> str:
    """The proof kind, such as `tee.sev-snp`."""
    return KIND_PREFIX + platform.value


def artifact(platform: Platform, measurements: Mapping[str, bytes]) -> bytes:
    """32 bytes. Parameters: `platform` is the one that signed the measurements, a CPU's.

    Raises InvalidInput (W3B-9101) for a measurement that is missing or has another length.
    """
    if platform not in IDENTITY:
        raise malformed("platform", f"{platform.value} measures no program; its CPU's evidence does")
    parts = []
    for name, length in IDENTITY[platform]:
        found = measurements.get(name, b"")
        if len(found) != length:
            raise malformed(name, f"has {len(found)} bytes, not {length}")
        parts.append(found)
    return keccak(b"".join(parts))


def tee_program_id(kind: str, found: bytes) -> bytes:
    """The program id, 32 bytes. Parameters: `found` is the artifact."""
    return program_id(kind, found)
