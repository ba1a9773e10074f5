"""Simulated TDX: a program is a trust domain; MRTD is its measurement, MRCONFIGID its configuration."""

from __future__ import annotations

from collections.abc import Mapping

from provers.tee.measurement import Measured
from provers.tee.simulation.attester import Attested, WithoutDevices
from provers.tee.simulation.caller import only
from provers.tee.simulation.certificates import der
from provers.tee.simulation.intel import IntelHierarchy
from provers.tee.simulation.intel_collateral import Collateral
from provers.tee.simulation.intel_quote import QuotingEnclave
from provers.tee.simulation.store import Store
from verifier.attestation.binding import CallerData
from verifier.attestation.evidence import Evidence, Platform
from verifier.attestation.tdx import DEBUG, MEASUREMENTS

SVN = bytes([1] * 16)
"""TEE_TCB_SVN; its second byte is the module's version, 1 for TDX 1.5."""
SEPT_VE_DISABLE = 1 << 28
"""Attribute that verifiers insist on: the guest gets no exception from the host's page faults."""
XFAM = bytes.fromhex("e700060000000000")
"""Extended features of the guest: x87, SSE, AVX, AVX-512, PKRU, AMX."""


def td_report(
    report_data: bytes, measurements: Mapping[str, bytes], *, debug: bool = False, extended: bool = False
) -> bytes:
    """A TD report 1.0 of 584 bytes, or an `extended` one (1.5) of 648.

    Parameters: 64 bytes; 48 bytes by the names of `verifier.attestation.tdx.MEASUREMENTS`, zero where left out.
    """
    before = ("mrseam", "mrsignerseam")
    module, domain = (
        b"".join(measurements.get(name, bytes(48)) for name in MEASUREMENTS if (name in before) is early)
        for early in (True, False)
    )
    attributes = (SEPT_VE_DISABLE | (DEBUG if debug else 0)).to_bytes(8, "little")
    report = SVN + module + bytes(8) + attributes + XFAM + domain + report_data
    return report + SVN + bytes(48) if extended else report


class TdxAttester(WithoutDevices):
    """A simulated TDX machine."""

    platform = signer = Platform.TDX

    def __init__(self, hierarchy: IntelHierarchy, version: int = 4) -> None:
        """`version` is that of its quotes: 4, or 5 with a TD report 1.5."""
        self._collateral, self._enclave = Collateral(hierarchy), QuotingEnclave(hierarchy)
        self._version = version
        self.roots: Mapping[Platform, tuple[bytes, ...]] = {Platform.TDX: (der(hierarchy.root),)}

    def measurements(self, measured: Measured) -> Mapping[str, bytes]:
        """See `SimulatedAttester`."""
        own = {"mrtd": measured.digest(48), "mrconfigid": measured.configuration.ljust(48, b"\0")}
        return {name: own.get(name, bytes(48)) for name in MEASUREMENTS}

    def attest(
        self,
        measured: Measured,
        caller: CallerData,
        *,
        now: int,
        debug: bool = False,
        devices: tuple[Attested, ...] = (),
    ) -> Attested:
        """A quote with its collateral. Raises InvalidInput (W3B-9101)."""
        data, measurements = only(caller, "report_data", 64), self.measurements(measured)
        report = td_report(data, measurements, debug=debug, extended=self._version == 5)
        endorsements = self._collateral.at(Platform.TDX, now)
        return Attested(Evidence(Platform.TDX, self._enclave.tdx(report, self._version)), endorsements, devices)


def open_attester(store: Store) -> TdxAttester:
    """The attester of the vendor's folder. Raises InvalidInput (W3B-9117), Unavailable (W3B-9118)."""
    return TdxAttester(IntelHierarchy(store))
