"""`tee.nvidia-h100`: a CPU's attester with GPUs whose evidence it vouches for.

Each GPU is asked with the digest as its nonce; the CPU's caller data has the SHA-256 of each GPU's evidence, in order
(docs/reference/attestation.md, "Composite evidence").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from provers.tee.measurement import Measured
from provers.tee.simulation.attester import Attested, SimulatedAttester
from provers.tee.simulation.nvidia_h100 import Gpu
from verifier.attestation.anchors import EndorsedKey
from verifier.attestation.binding import CallerData
from verifier.attestation.evidence import Platform

CPUS = (Platform.TDX, Platform.SEV_SNP)
"""Platforms of confidential guests, to which a GPU can be given."""


class CompositeAttester:
    """A confidential guest with GPUs."""

    platform = Platform.NVIDIA_H100

    def __init__(self, cpu: SimulatedAttester, gpus: Sequence[Gpu], gpu_root: bytes) -> None:
        """`gpu_root` is the GPUs' root certificate, DER."""
        self._cpu, self._gpus = cpu, tuple(gpus)
        self.signer = cpu.platform
        self.roots: Mapping[Platform, tuple[bytes, ...]] = {**cpu.roots, Platform.NVIDIA_H100: (gpu_root,)}
        self.cca_keys: tuple[EndorsedKey, ...] = cpu.cca_keys

    def measurements(self, measured: Measured) -> Mapping[str, bytes]:
        """Those of the CPU: it runs the program."""
        return self._cpu.measurements(measured)

    def devices(self, nonce: bytes, *, now: int) -> tuple[Attested, ...]:
        """A report of each GPU. Raises InvalidInput (W3B-9101)."""
        return tuple(each.attest(nonce, now=now) for each in self._gpus)

    def attest(
        self,
        measured: Measured,
        caller: CallerData,
        *,
        now: int,
        debug: bool = False,
        devices: tuple[Attested, ...] = (),
    ) -> Attested:
        """The CPU's evidence with that of `devices`, which `caller` must have been made over."""
        return self._cpu.attest(measured, caller, now=now, debug=debug, devices=devices)
