"""A simulated machine of legacy SEV: the firmware's ATTESTATION report and AMD's own certificates of it (AMD document
55766, SEV API 0.24, §6.8 and appendices B and C), in the sizes of Rome: RSA-4096 authorities, P-384 platform keys.

What a report binds: `mnonce` is chosen by whoever asks the firmware, so it ties a report to a question and no guest to a
key. A guest's key would count only where the guest's owner sent it in with LAUNCH_SECRET after such a report was
appraised, which needs a key broker: this attester does not pretend to it, and no contract registers a key for `tee.sev`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from provers.tee.measurement import Measured
from provers.tee.simulation.amd import SimulatedAmd
from provers.tee.simulation.attester import Attested, SimulatedAttester, WithoutDevices
from provers.tee.simulation.caller import only
from provers.tee.simulation.certificates import check_time
from provers.tee.simulation.snp_report import little_endian_signature
from provers.tee.simulation.store import Store
from verifier.attestation.anchors import SimulatedAnchors
from verifier.attestation.binding import CallerData
from verifier.attestation.evidence import Endorsements, Evidence, Platform
from verifier.attestation.sev import NO_DEBUG, NO_SEND, verify_chain
from verifier.attestation.sev_certificates import ARK, ASK, CEK, ECDSA_SHA256, OCA, PEK, rsa_algorithm
from verifier.errors import W3bstreamError

API = (0, 24)
"""Version of the firmware."""
NO_KEY_SHARING, ENCRYPTED_STATE = 0x02, 0x04
"""Bits of the guest's policy (§3.2): no other guest has its key; registers are encrypted too (SEV-ES)."""
KEY_IDS = {ARK: b"SIMULATED ARK", ASK: b"SIMULATED ASK"}
"""Of the authorities, 16 bytes with zeros behind: the one place of AMD's format for a label."""
_P384, _SIGNATURE_BYTES, _BODY_BYTES = 2, 512, 0x414
_NO_USAGE = 0x1000
"""Key usage of a signature that is not there."""


def open_attester(store: Store) -> SimulatedAttester:
    """The attester of a store. Raises InvalidInput (W3B-9117), Unavailable (W3B-9118)."""
    amd = SimulatedAmd(store)
    cek, oca, pek = (store.ec_key(f"sev-{name}", ec.SECP384R1) for name in ("cek", "oca", "pek"))
    parts = {
        "ark.cert": lambda: authority(ARK, amd.ark, ARK, amd.ark),
        "ask.cert": lambda: authority(ASK, amd.ask, ARK, amd.ark),
        "cek.cert": lambda: platform(CEK, cek, [(ASK, amd.ask)]),
        "oca.cert": lambda: platform(OCA, oca, [(OCA, oca)]),
        "pek.cert": lambda: platform(PEK, pek, [(OCA, oca), (CEK, cek)]),
    }
    endorsements = Endorsements({name: store.part(f"sev-{name}", make) for name, make in parts.items()})
    _require_chain(store, endorsements, pek)
    return SevAttester(pek, endorsements)


def _require_chain(store: Store, endorsements: Endorsements, pek: ec.EllipticCurvePrivateKey) -> None:
    """Refuse certificates that are not of the store's keys (W3B-9117)."""
    try:
        anchors = SimulatedAnchors("this installation", {Platform.SEV: (endorsements.get("ark.cert"),)})
        _, certificate = verify_chain(endorsements, anchors)
    except W3bstreamError as error:
        raise store.damaged("sev-*.cert", f"are no chain: {error.message}") from error
    if certificate.key != pek.public_key():
        raise store.damaged("sev-pek.cert", "is not of sev-pek.key")


def authority(usage: int, key: rsa.RSAPrivateKey, signer: int, signed_by: rsa.RSAPrivateKey) -> bytes:
    """The certificate of an ARK or ASK (appendix B.1). Parameters: `usage` and `signer` are key usages."""
    size, numbers = key.key_size // 8, key.public_key().public_numbers()
    ids = (KEY_IDS[each].ljust(16, b"\0") for each in (usage, signer))
    body = struct.pack("<I16s16sI16xII", 1, *ids, usage, 8 * size, 8 * size)
    body += numbers.e.to_bytes(size, "little") + numbers.n.to_bytes(size, "little")
    return body + rsa_signature(signed_by, body)


def platform(
    usage: int,
    key: ec.EllipticCurvePrivateKey,
    signers: Sequence[tuple[int, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey]],
) -> bytes:
    """The certificate of a CEK, OCA or PEK (appendix C.1), which has room for two signatures.

    Parameters: `signers` are key usages with their keys.
    """
    numbers = key.public_key().public_numbers()
    body = struct.pack("<IBBHIII", 1, *API, 0, usage, ECDSA_SHA256, _P384)
    body += numbers.x.to_bytes(72, "little") + numbers.y.to_bytes(72, "little")
    body = body.ljust(_BODY_BYTES, b"\0")
    signatures = [_signature(body, *signer) for signer in signers]
    absent = struct.pack("<II", _NO_USAGE, 0) + bytes(_SIGNATURE_BYTES)
    return body + b"".join((*signatures, absent)[:2])


def _signature(body: bytes, usage: int, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        algorithm, value = rsa_algorithm(key), rsa_signature(key, body)
    else:
        algorithm, value = ECDSA_SHA256, little_endian_signature(key, body, hashes.SHA256())
    return struct.pack("<II", usage, algorithm) + value.ljust(_SIGNATURE_BYTES, b"\0")


def rsa_signature(key: rsa.RSAPrivateKey, body: bytes) -> bytes:
    """PSS with SHA-256 for a key of 2,048 bits and SHA-384 for 4,096, little-endian (appendix B.1)."""
    digest = hashes.SHA256() if key.key_size == 2048 else hashes.SHA384()
    return key.sign(body, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)[::-1]


def report(pek: ec.EllipticCurvePrivateKey, mnonce: bytes, launch_digest: bytes, policy: int) -> bytes:
    """The report of 208 bytes (§6.8). Parameters: `mnonce` has 16 bytes, `launch_digest` 32."""
    signed = struct.pack("<16s32sI", mnonce, launch_digest, policy)
    return signed + struct.pack("<III", PEK, ECDSA_SHA256, 0) + little_endian_signature(pek, signed, hashes.SHA256())


@dataclass(frozen=True)
class SevAttester(WithoutDevices):
    """Makes reports of one machine."""

    pek: ec.EllipticCurvePrivateKey
    endorsements: Endorsements

    platform = Platform.SEV
    signer = Platform.SEV

    @property
    def roots(self) -> Mapping[Platform, tuple[bytes, ...]]:
        """The ARK, in AMD's format."""
        return {Platform.SEV: (self.endorsements.get("ark.cert"),)}

    def measurements(self, measured: Measured) -> Mapping[str, bytes]:
        """The launch digest."""
        return {"launch_digest": measured.digest(32)}

    def attest(
        self,
        measured: Measured,
        caller: CallerData,
        *,
        now: int,
        debug: bool = False,
        devices: tuple[Attested, ...] = (),
    ) -> Attested:
        """A report; `caller` is {"mnonce": 16 bytes}. `now` is not in a report. Raises InvalidInput (W3B-9101)."""
        check_time(now)
        mnonce = only(caller, "mnonce", 16)
        policy = NO_KEY_SHARING | ENCRYPTED_STATE | NO_SEND | (0 if debug else NO_DEBUG)
        data = report(self.pek, mnonce, self.measurements(measured)["launch_digest"], policy)
        return Attested(Evidence(Platform.SEV, data), self.endorsements, devices)
