"""Simulated SGX: a program is an enclave; MRENCLAVE is its measurement."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from provers.tee.measurement import Measured
from provers.tee.simulation.attester import Attested, WithoutDevices
from provers.tee.simulation.caller import only
from provers.tee.simulation.certificates import der
from provers.tee.simulation.intel import IntelHierarchy
from provers.tee.simulation.intel_collateral import Collateral
from provers.tee.simulation.intel_quote import QuotingEnclave, enclave_report
from provers.tee.simulation.store import Store
from verifier.attestation.binding import CallerData
from verifier.attestation.evidence import Evidence, Platform

MRSIGNER = hashlib.sha256(b"SIMULATED signer of W3bstream enclaves").digest()
ISVPRODID, ISVSVN = 0, 1


class SgxAttester(WithoutDevices):
    """A simulated SGX machine."""

    platform = signer = Platform.SGX

    def __init__(self, hierarchy: IntelHierarchy) -> None:
        self._collateral, self._enclave = Collateral(hierarchy), QuotingEnclave(hierarchy)
        self.roots: Mapping[Platform, tuple[bytes, ...]] = {Platform.SGX: (der(hierarchy.root),)}

    def measurements(self, measured: Measured) -> Mapping[str, bytes]:
        """See `SimulatedAttester`."""
        return {"mrenclave": measured.digest(32), "mrsigner": MRSIGNER, "isvprodid": ISVPRODID.to_bytes(2, "big")}

    def attest(
        self,
        measured: Measured,
        caller: CallerData,
        *,
        now: int,
        debug: bool = False,
        devices: tuple[Attested, ...] = (),
    ) -> Attested:
        """A quote v3 with its collateral. Raises InvalidInput (W3B-9101)."""
        report = enclave_report(
            only(caller, "report_data", 64),
            measured.digest(32),
            MRSIGNER,
            product=ISVPRODID,
            svn=ISVSVN,
            debug=debug,
        )
        endorsements = self._collateral.at(Platform.SGX, now)
        return Attested(Evidence(Platform.SGX, self._enclave.sgx(report)), endorsements, devices)


def open_attester(store: Store) -> SgxAttester:
    """The attester of the vendor's folder. Raises InvalidInput (W3B-9117), Unavailable (W3B-9118)."""
    return SgxAttester(IntelHierarchy(store))
