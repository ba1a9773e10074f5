"""Collateral of the simulated Intel: TCB info v3, QE identity v2 and revocation lists, of one day and valid for thirty.

Layouts: Intel Provisioning Certification Service API v4 (TCB Info, Enclave Identity). Everything is signed anew each day,
so that it is refreshed long before it ends, and kept in memory for that day.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from provers.tee.simulation.certificates import DAY, check_time, der, pem
from provers.tee.simulation.cose import raw_signature
from provers.tee.simulation.intel import FMSPC, PCE_ID, PCE_SVN, IntelHierarchy
from provers.tee.simulation.intel_quote import QE_PRODUCT, QE_SIGNER
from verifier.attestation.evidence import Endorsements, Platform
from verifier.attestation.intel_dcap import COLLATERAL

VALID_DAYS = 30
KEPT = 8
"""Days of collateral that are kept in memory, both platforms' together."""


@dataclass(frozen=True)
class TcbState:
    """What the vendor says of the machine."""

    status: str = "UpToDate"
    """As in `verifier.attestation.policy.STATUSES`, or `Revoked`."""
    advisories: tuple[str, ...] = ()
    evaluation_number: int = 17
    level_date: int | None = None
    """Of the TCB level, Unix seconds; the day of issue where it is None."""
    pck_revoked: bool = False
    """Whether the PCK is on its CA's list."""


class Collateral:
    """Makes `collateral.json` of SGX and TDX."""

    def __init__(self, hierarchy: IntelHierarchy, state: TcbState | None = None) -> None:
        self._intel, self._state = hierarchy, state or TcbState()
        self.of_day = lru_cache(maxsize=KEPT)(self._of_day)

    def at(self, platform: Platform, now: int) -> Endorsements:
        """The collateral of the day of `now`, Unix seconds. Raises InvalidInput (W3B-9101) for a time out of range."""
        return Endorsements({COLLATERAL: self.of_day(platform, check_time(now) // DAY)})

    def _of_day(self, platform: Platform, day: int) -> bytes:
        return json.dumps(self.fields(platform, day * DAY)).encode()

    def fields(self, platform: Platform, issued: int) -> dict[str, str]:
        """The nine fields, issued at a time in Unix seconds."""
        intel = self._intel
        signers = pem(intel.tcb_signing, intel.root).decode()
        info, identity = self._tcb_info(platform, issued), self._qe_identity(platform, issued)
        revoked = (intel.pck,) if self._state.pck_revoked else ()
        return {
            "pck_crl_issuer_chain": pem(intel.pck_ca, intel.root).decode(),
            "root_ca_crl": _revocation_list(intel.root, intel.root_key, issued).hex(),
            "pck_crl": _revocation_list(intel.pck_ca, intel.pck_ca_key, issued, revoked).hex(),
            "tcb_info_issuer_chain": signers,
            "tcb_info": info,
            "tcb_info_signature": raw_signature(intel.tcb_signing_key, info.encode()).hex(),
            "qe_identity_issuer_chain": signers,
            "qe_identity": identity,
            "qe_identity_signature": raw_signature(intel.tcb_signing_key, identity.encode()).hex(),
        }

    def _dates(self, issued: int) -> dict[str, object]:
        return {
            "issueDate": _iso(issued),
            "nextUpdate": _iso(issued + VALID_DAYS * DAY),
            "tcbEvaluationDataNumber": self._state.evaluation_number,
        }

    def _level_date(self, issued: int) -> str:
        return _iso(issued if self._state.level_date is None else self._state.level_date)

    def _tcb_info(self, platform: Platform, issued: int) -> str:
        date = self._level_date(issued)
        tcb: dict[str, object] = {"sgxtcbcomponents": [{"svn": 1}] * 16, "pcesvn": PCE_SVN}
        # In the order of Intel's own documents: verifier/contracts/tee/dcap reads the signed text itself.
        dates = self._dates(issued)
        info: dict[str, object] = {
            "id": "SGX",
            "version": 3,
            "issueDate": dates["issueDate"],
            "nextUpdate": dates["nextUpdate"],
            "fmspc": FMSPC.hex().upper(),
            "pceId": PCE_ID.hex(),
            "tcbType": 0,
            "tcbEvaluationDataNumber": dates["tcbEvaluationDataNumber"],
        }
        if platform is Platform.TDX:
            tcb["tdxtcbcomponents"] = [{"svn": 1}] * 16
            module = {"mrsigner": "00" * 48, "attributes": "00" * 8, "attributesMask": "FF" * 8}
            levels = [{"tcb": {"isvsvn": 1}, "tcbDate": date, "tcbStatus": "UpToDate"}]
            identities = [{"id": "TDX_01", **module, "tcbLevels": levels}]
            info |= {"id": "TDX", "tdxModule": module, "tdxModuleIdentities": identities}
        level = {"tcb": tcb, "tcbDate": date, "tcbStatus": self._state.status}
        info["tcbLevels"] = [{**level, "advisoryIDs": list(self._state.advisories)}]
        return _text(info)

    def _qe_identity(self, platform: Platform, issued: int) -> str:
        identity = {
            "id": "TD_QE" if platform is Platform.TDX else "QE",
            "version": 2,
            **self._dates(issued),
            "miscselect": "00000000",
            "miscselectMask": "FFFFFFFF",
            "attributes": "11" + "00" * 15,
            "attributesMask": "FB" + "FF" * 7 + "00" * 8,
            "mrsigner": QE_SIGNER.hex().upper(),
            "isvprodid": QE_PRODUCT,
            "tcbLevels": [{"tcb": {"isvsvn": 1}, "tcbDate": self._level_date(issued), "tcbStatus": "UpToDate"}],
        }
        return _text(identity)


def _text(value: dict[str, object]) -> str:
    return json.dumps(value, separators=(",", ":"))


def _iso(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _revocation_list(
    issuer: x509.Certificate, key: ec.EllipticCurvePrivateKey, issued: int, revoked: tuple[x509.Certificate, ...] = ()
) -> bytes:
    """A CRL (RFC 5280 §5), DER."""
    update = datetime.fromtimestamp(issued, UTC)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(update)
        .next_update(datetime.fromtimestamp(issued + VALID_DAYS * DAY, UTC))
        .add_extension(x509.CRLNumber(issued // DAY), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    for each in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(each.serial_number).revocation_date(update)
        builder = builder.add_revoked_certificate(entry.build())
    return der(builder.sign(key, hashes.SHA256()))
