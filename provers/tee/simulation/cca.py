"""Simulated Arm CCA: a program is a realm; RIM is its measurement, RPV its configuration.

draft-ffm-rats-cca-token: a platform token by the CPAK, which anchors list by instance id, and a realm token by the RAK,
whose hash is the platform token's challenge. The realm token is of profile 1.0.0, with the RAK as COSE_Key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric import ec

from provers.tee.measurement import Measured
from provers.tee.simulation.attester import Attested, WithoutDevices
from provers.tee.simulation.caller import only
from provers.tee.simulation.cbor import encode
from provers.tee.simulation.certificates import check_time, public_point
from provers.tee.simulation.cose import sign1
from provers.tee.simulation.store import Store
from verifier.attestation import cca
from verifier.attestation.anchors import EndorsedKey
from verifier.attestation.binding import CallerData
from verifier.attestation.cbor import Tagged
from verifier.attestation.cose import SIGN1_TAG
from verifier.attestation.evidence import Endorsements, Evidence, Platform

IMPLEMENTATION_ID = b"SIMULATED - NOT ARM - NO TRUST".ljust(32, b"\0")
SECURED, DEBUG = 0x3000, 0x4000
"""Lifecycles: secured; non-CCA platform debug."""
PLATFORM_CONFIG = b"SIMULATED"
_REALM_HASH, _PLATFORM_HASH, _SERVICE = 44236, 2402, 2400
"""Claims that `verifier.attestation.cca` does not read: names of the hashes, and the service for the vendor's keys."""
_REGISTERS = 4


class CcaAttester(WithoutDevices):
    """A simulated CCA platform with its realm manager."""

    platform = signer = Platform.CCA
    roots: Mapping[Platform, tuple[bytes, ...]] = {}

    def __init__(self, store: Store) -> None:
        self._cpak, self._rak = store.ec_key("cpak", ec.SECP256R1), store.ec_key("rak", ec.SECP384R1)
        point = public_point(self._cpak)
        self._instance = b"\x01" + hashlib.sha256(point).digest()
        self.cca_keys = (EndorsedKey(self._instance, IMPLEMENTATION_ID, point),)
        rak = public_point(self._rak)
        self._rak_claim = encode({1: 2, -1: 2, -2: rak[1:49], -3: rak[49:]})

    def measurements(self, measured: Measured) -> Mapping[str, bytes]:
        """See `SimulatedAttester`."""
        registers = {f"rem{at}": bytes(32) for at in range(_REGISTERS)}
        return {
            "rim": measured.digest(32),
            "rpv": measured.configuration.ljust(64, b"\0"),
            **registers,
            "implementation_id": IMPLEMENTATION_ID,
            "platform_config": PLATFORM_CONFIG,
        }

    def attest(
        self,
        measured: Measured,
        caller: CallerData,
        *,
        now: int,
        debug: bool = False,
        devices: tuple[Attested, ...] = (),
    ) -> Attested:
        """A token; it has no time, and there are no endorsements. Raises InvalidInput (W3B-9101)."""
        check_time(now)
        found = self.measurements(measured)
        realm = {
            cca.CHALLENGE: only(caller, "report_data", 64),
            cca.RPV: found["rpv"],
            _REALM_HASH: "sha-256",
            cca.RAK: self._rak_claim,
            cca.RAK_HASH: "sha-256",
            cca.RIM: found["rim"],
            cca.REM: [found[f"rem{at}"] for at in range(_REGISTERS)],
            cca.PROFILE: cca.REALM_PROFILES[0],
        }
        signed = {
            cca.PLATFORM: _signed(self._cpak, self._platform_claims(debug)),
            cca.REALM: _signed(self._rak, realm),
        }
        token = encode(Tagged(cca.COLLECTION, signed))
        return Attested(Evidence(Platform.CCA, token), Endorsements(), devices)

    def _platform_claims(self, debug: bool) -> dict[int, object]:
        component = {1: "BL", 2: hashlib.sha256(b"SIMULATED boot loader").digest(), 4: "SIMULATED", 5: bytes(32)}
        return {
            cca.PROFILE: cca.PLATFORM_PROFILES[1],
            cca.CHALLENGE: hashlib.sha256(self._rak_claim).digest(),
            cca.IMPLEMENTATION_ID: IMPLEMENTATION_ID,
            cca.INSTANCE_ID: self._instance,
            cca.CONFIG: PLATFORM_CONFIG,
            cca.LIFECYCLE: DEBUG if debug else SECURED,
            cca.COMPONENTS: [component],
            _SERVICE: "https://simulated.invalid",
            _PLATFORM_HASH: "sha-256",
        }


def _signed(key: ec.EllipticCurvePrivateKey, claims: Mapping[int, object]) -> bytes:
    return encode(Tagged(SIGN1_TAG, sign1(key, encode(claims))))


def open_attester(store: Store) -> CcaAttester:
    """The attester of the vendor's folder. Raises InvalidInput (W3B-9117), Unavailable (W3B-9118)."""
    return CcaAttester(store)
