"""One prover a platform, as entry points name them (group `w3bstream.provers`)."""

from __future__ import annotations

from pathlib import Path

from provers.tee.prover import TeeProver
from verifier.attestation.evidence import Platform


class SgxProver(TeeProver):
    """Kind `tee.sgx`: Intel SGX, DCAP quotes."""

    def __init__(self, home: Path | None = None) -> None:
        super().__init__(Platform.SGX, home)


class TdxProver(TeeProver):
    """Kind `tee.tdx`: Intel TDX, DCAP quotes."""

    def __init__(self, home: Path | None = None) -> None:
        super().__init__(Platform.TDX, home)


class SevProver(TeeProver):
    """Kind `tee.sev`: legacy AMD SEV. Without session keys: each result is evidence itself."""

    def __init__(self, home: Path | None = None) -> None:
        super().__init__(Platform.SEV, home)


class SevSnpProver(TeeProver):
    """Kind `tee.sev-snp`: AMD SEV-SNP reports."""

    def __init__(self, home: Path | None = None) -> None:
        super().__init__(Platform.SEV_SNP, home)


class NitroProver(TeeProver):
    """Kind `tee.nitro`: AWS Nitro Enclaves documents."""

    def __init__(self, home: Path | None = None) -> None:
        super().__init__(Platform.NITRO, home)


class CcaProver(TeeProver):
    """Kind `tee.cca`: Arm CCA tokens."""

    def __init__(self, home: Path | None = None) -> None:
        super().__init__(Platform.CCA, home)


class NvidiaH100Prover(TeeProver):
    """Kind `tee.nvidia-h100`: an H100 whose evidence a CPU's vouches for."""

    def __init__(self, home: Path | None = None) -> None:
        super().__init__(Platform.NVIDIA_H100, home)
