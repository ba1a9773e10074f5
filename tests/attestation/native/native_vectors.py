"""Genuine evidence from `tests/vectors/attestation`, with the time at which it holds."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from native import _native

FOLDER = Path(__file__).parents[2] / "vectors" / "attestation"


def pem(name: str) -> list[bytes]:
    blocks = re.findall(r"BEGIN CERTIFICATE-----(.*?)-----END", (FOLDER / name).read_text(), re.DOTALL)
    return [base64.b64decode(block) for block in blocks]


@dataclass(frozen=True)
class Genuine:
    """Evidence of one platform. `ask` takes (evidence, certificates, anchors, time)."""

    name: str
    evidence: bytes
    certificates: list[bytes]
    anchors: list[bytes]
    time: int
    first: int
    last: int
    ask: Callable[[bytes, list[bytes], list[bytes], int], Any]

    def verify(self, evidence: bytes | None = None, **changes: Any) -> Any:
        given: dict[str, Any] = {
            "certificates": self.certificates,
            "anchors": self.anchors,
            "time": self.time,
        } | changes
        body = self.evidence if evidence is None else evidence
        return self.ask(body, given["certificates"], given["anchors"], given["time"])


def _nitro(evidence: bytes, certificates: list[bytes], anchors: list[bytes], time: int) -> Any:
    return _native.nitro_verify(evidence, anchors, time)


@cache
def genuine() -> dict[str, Genuine]:
    amd, aws, nvidia = (
        list(roots.values()) for roots in (_native.SEV_SNP_ROOTS, _native.NITRO_ROOTS, _native.NVIDIA_DEVICE_ROOTS)
    )
    milan = pem("sev_snp/cert_chain_milan")
    snp, h100 = _native.sev_snp_verify, _native.h100_verify
    found = [
        Genuine(
            "sev-snp",
            bytes.fromhex((FOLDER / "sev_snp/report_milan.hex").read_text()),
            [(FOLDER / "sev_snp/vcek_milan.der").read_bytes(), *milan],
            amd,
            1_700_000_000,
            1_680_549_823,
            1_901_474_623,
            snp,
        ),
        Genuine(
            "nitro",
            base64.b64decode((FOLDER / "nitro/debug_2024.b64").read_bytes()),
            [],
            aws,
            1_725_911_353,
            1_725_911_349,
            1_725_922_152,
            _nitro,
        ),
        Genuine(
            "nitro-enclave",
            base64.b64decode((FOLDER / "nitro/enclave_2024.b64").read_bytes()),
            [],
            aws,
            1_734_707_283,
            1_734_707_279,
            1_734_718_082,
            _nitro,
        ),
        Genuine(
            "nvidia-h100",
            bytes.fromhex((FOLDER / "nvidia_h100/hopperAttestationReport.txt").read_text()),
            pem("nvidia_h100/hopperCertChain.txt"),
            nvidia,
            1_725_911_353,
            1_646_092_800,
            253_402_300_799,
            h100,
        ),
    ]
    return {each.name: each for each in found}
