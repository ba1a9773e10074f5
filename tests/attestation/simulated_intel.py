"""A simulated Intel whose collateral and quotes a test may spoil: `provers.tee.simulation` with knobs.

Whatever the genuine vectors cannot show (debug, a revoked key, a status of choice) is made here and appraised under
`SimulatedAnchors`; none of it may be accepted under the vendor's root.
"""

from __future__ import annotations

import copy
import datetime
import json
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from provers.tee.simulation.certificates import der
from provers.tee.simulation.intel import IntelHierarchy
from provers.tee.simulation.intel_collateral import Collateral, TcbState
from provers.tee.simulation.intel_quote import QuotingEnclave, enclave_report
from provers.tee.simulation.store import Store
from provers.tee.simulation.tdx import td_report
from verifier.attestation.anchors import SimulatedAnchors
from verifier.attestation.evidence import Endorsements, Platform
from verifier.attestation.intel_dcap import COLLATERAL

NOW = datetime.datetime(2026, 11, 21, tzinfo=datetime.UTC)
ISSUED = int(NOW.timestamp())
AT = ISSUED + 3600
DAY = datetime.timedelta(days=1)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


class SimulatedIntel:
    """One hierarchy, whose files are gone once it is made."""

    def __init__(
        self,
        *,
        status: str = "UpToDate",
        evaluation_number: int = 17,
        tcb_date: datetime.datetime = NOW,
        revoked: bool = False,
    ) -> None:
        with TemporaryDirectory() as folder:
            self.hierarchy = IntelHierarchy(Store(Path(folder)))
        state = TcbState(status, (), evaluation_number, int(tcb_date.timestamp()), revoked)
        self._collateral = Collateral(self.hierarchy, state)

    @property
    def root(self) -> x509.Certificate:
        return self.hierarchy.root

    @property
    def anchors(self) -> SimulatedAnchors:
        root = der(self.root)
        return SimulatedAnchors("tests", {Platform.SGX: (root,), Platform.TDX: (root,)})

    def collateral(self, platform: Platform, **changes: object) -> Endorsements:
        """The collateral of a platform; `changes` replace fields of it."""
        fields: dict[str, object] = {**self._collateral.fields(platform, ISSUED), **changes}
        return Endorsements({COLLATERAL: json.dumps(fields).encode()})

    def quote(
        self,
        platform: Platform,
        report_data: bytes,
        measurement: bytes = bytes(48),
        *,
        debug: bool = False,
        last: x509.Certificate | None = None,
    ) -> bytes:
        """A quote v3 or v4 over `measurement` (MRENCLAVE takes its first 32 bytes, MRTD all 48).

        `last` stands at the end of its chain in place of the root.
        """
        hierarchy = copy.copy(self.hierarchy)
        hierarchy.root = last or self.root
        enclave = QuotingEnclave(hierarchy)
        if platform is Platform.TDX:
            return enclave.tdx(td_report(report_data, {"mrtd": measurement}, debug=debug))
        return enclave.sgx(enclave_report(report_data, measurement[:32], bytes(32), debug=debug))
