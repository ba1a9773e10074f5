"""The simulated vendors of one installation: `<home>/tee/simulated/<vendor>/` has the keys and certificates of each."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, cast

from provers.tee.simulation.attester import SimulatedAttester
from provers.tee.simulation.store import Store
from verifier.attestation.anchors import EndorsedKey, SimulatedAnchors
from verifier.attestation.evidence import Platform, malformed

if TYPE_CHECKING:
    from provers.tee.simulation.nvidia_h100 import NvidiaHierarchy

_VENDORS: Mapping[Platform, tuple[str, str]] = {
    Platform.SGX: ("sgx", "intel"),
    Platform.TDX: ("tdx", "intel"),
    Platform.SEV: ("sev", "amd"),
    Platform.SEV_SNP: ("sev_snp", "amd"),
    Platform.NITRO: ("nitro", "aws"),
    Platform.CCA: ("cca", "arm"),
}
"""Module and vendor's folder by CPU's platform. A module has `open_attester(store: Store) -> SimulatedAttester`."""
_GPU_VENDOR = "nvidia"
MAX_GPUS = 8
_NAME_FILE = "installation.txt"


class SimulatedVendors:
    """The vendors, each opened at its first use. Safe for threads, and for processes that share a home."""

    def __init__(self, folder: Path) -> None:
        """`folder` is that of the simulated vendors. Raises as `open`."""
        self._folder, self._lock = folder, Lock()
        self._open: dict[Platform, SimulatedAttester] = {}
        self._gpus: NvidiaHierarchy | None = None
        self._composites: dict[tuple[Platform, int], SimulatedAttester] = {}
        store = Store(folder)
        name = store.part(_NAME_FILE, f"{secrets.token_hex(4)}\n".encode)
        if not re.fullmatch(rb"[0-9a-f]{8}\n", name):
            raise store.damaged(_NAME_FILE, "is no name of eight hex digits")
        self._name = f"installation {name[:8].decode()}"

    @classmethod
    def open(cls, home: Path) -> SimulatedVendors:
        """The vendors of a home folder, made where there are none.

        Raises InvalidInput (W3B-9117) where a file is damaged, Unavailable (W3B-9118) where the folder cannot be used.
        """
        return cls(home / "tee" / "simulated")

    @property
    def name(self) -> str:
        """Of the installation, as every verdict shows it."""
        return self._name

    def attester(self, platform: Platform) -> SimulatedAttester:
        """The attester of a platform; that of `nvidia-h100` is one GPU with the TDX guest that vouches for it.

        Raises InvalidInput (W3B-9117), Unavailable (W3B-9118). The first of `sev` and `sev-snp` takes seconds, since RSA
        keys are made.
        """
        with self._lock:
            if platform is Platform.NVIDIA_H100:
                return self._composite(Platform.TDX, 1)
            return self._attester(platform)

    def composite(self, cpu: Platform, gpus: int) -> SimulatedAttester:
        """A guest of the CPU's platform with so many GPUs, 1 to `MAX_GPUS`.

        Raises InvalidInput: W3B-9101 for a CPU that cannot be given a GPU, or another number; else as `attester`.
        """
        with self._lock:
            return self._composite(cpu, gpus)

    def _attester(self, platform: Platform) -> SimulatedAttester:
        if platform not in self._open:
            module, vendor = _VENDORS[platform]
            made = import_module(f"provers.tee.simulation.{module}").open_attester(Store(self._folder / vendor))
            self._open[platform] = cast(SimulatedAttester, made)
        return self._open[platform]

    def _composite(self, cpu: Platform, gpus: int) -> SimulatedAttester:
        from provers.tee.simulation.composite import CPUS, CompositeAttester
        from provers.tee.simulation.nvidia_h100 import NvidiaHierarchy

        if cpu not in CPUS:
            raise malformed("cpu", f"{cpu.value} cannot be given a GPU; {', '.join(CPUS)} can")
        if not 1 <= gpus <= MAX_GPUS:
            raise malformed("gpus", f"is {gpus}, not 1 to {MAX_GPUS}")
        if (cpu, gpus) not in self._composites:
            self._gpus = self._gpus or NvidiaHierarchy(Store(self._folder / _GPU_VENDOR))
            found = [self._gpus.gpu(number) for number in range(gpus)]
            self._composites[cpu, gpus] = CompositeAttester(self._attester(cpu), found, self._gpus.root)
        return self._composites[cpu, gpus]

    def anchors(self, *platforms: Platform) -> SimulatedAnchors:
        """The trust anchors of these platforms; of all where none is named. Raises as `attester`."""
        roots: dict[Platform, tuple[bytes, ...]] = {}
        keys: tuple[EndorsedKey, ...] = ()
        for platform in platforms or tuple(Platform):
            attester = self.attester(platform)
            roots |= attester.roots
            keys += attester.cca_keys
        return SimulatedAnchors(self._name, roots, keys)
