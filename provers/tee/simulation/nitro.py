"""A simulated Nitro hypervisor: attestation documents (COSE_Sign1, ES384) in the layout of "AWS Nitro Enclaves NSM API",
`docs/attestation_process.md` of aws/aws-nitro-enclaves-nsm-api, §2.2.

The root is kept; region, zone, instance and enclave certificates are issued for each document, with the lives that
genuine ones have, so that a document expires three hours after it was made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from provers.tee.measurement import Measured
from provers.tee.simulation.attester import Attested, SimulatedAttester, WithoutDevices
from provers.tee.simulation.cbor import encode
from provers.tee.simulation.certificates import (
    DAY,
    HOUR,
    LIFETIME,
    Issuer,
    Validity,
    check_time,
    der,
    issue,
    label,
    public_point,
)
from provers.tee.simulation.cose import sign1
from provers.tee.simulation.store import Store
from verifier.attestation.binding import CallerData
from verifier.attestation.evidence import Endorsements, Evidence, Platform, malformed

VENDOR = "AWS"
LEVELS = (("region", 20 * DAY, 2), ("zone", 6 * DAY, 1), ("instance", DAY, 0))
"""Authorities below the root, with how long their certificates live and how many may stand below them."""
ENCLAVE_LIFE, BACKDATED = 3 * HOUR, 60
"""Seconds: of the enclave's certificate, and how much earlier than now each one begins."""
PCR_BYTES, PCRS = 48, 16
LIMITS: Mapping[str, tuple[int, int]] = {"public_key": (1, 1024), "user_data": (0, 512), "nonce": (0, 512)}
"""Bytes of the caller's fields, from and to."""


def open_attester(store: Store) -> SimulatedAttester:
    """The attester of a store. Raises InvalidInput (W3B-9117), Unavailable (W3B-9118)."""
    keys = {name: store.ec_key(name, ec.SECP384R1) for name in ("root", *(name for name, _, _ in LEVELS), "enclave")}
    root = Issuer(label("simulated.nitro-enclaves", VENDOR), keys["root"])
    certificate = store.certificate("root", keys["root"], lambda: issue(root, root, LIFETIME, authority=True))
    return NitroAttester(keys, certificate)


def extended(data: bytes) -> bytes:
    """The value of a register of zeros that was extended with `data`: SHA-384, 48 bytes."""
    return hashlib.sha384(bytes(PCR_BYTES) + data).digest()


def payload(
    certificates: Sequence[bytes], pcrs: Mapping[int, bytes], caller: CallerData, *, module_id: str, milliseconds: int
) -> dict[str, object]:
    """What a document says.

    Parameters: `certificates` are DER, leaf first; fields that `caller` lacks are null; `milliseconds` are Unix time.
    """
    return {
        "module_id": module_id,
        "digest": "SHA384",
        "timestamp": milliseconds,
        "pcrs": dict(pcrs),
        "certificate": certificates[0],
        "cabundle": list(reversed(certificates[1:])),
        **{name: caller.get(name) for name in LIMITS},
    }


def signed(key: ec.EllipticCurvePrivateKey, says: Mapping[str, object]) -> bytes:
    """The document of a payload: COSE_Sign1 without a tag, as the hypervisor writes it."""
    return encode(sign1(key, encode(dict(says))))


@dataclass(frozen=True)
class NitroAttester(WithoutDevices):
    """Makes documents of one enclave."""

    keys: Mapping[str, ec.EllipticCurvePrivateKey]
    """Of the root, of each level, and of the enclave."""
    root: x509.Certificate

    platform = Platform.NITRO
    signer = Platform.NITRO

    @property
    def roots(self) -> Mapping[Platform, tuple[bytes, ...]]:
        """The root of the hierarchy."""
        return {Platform.NITRO: (der(self.root),)}

    def measurements(self, measured: Measured) -> Mapping[str, bytes]:
        """PCR0 is the image, all that runs; PCR1 its kernel, here the runtime; PCR2 the application, the program."""
        pcrs = {0: measured.digest(PCR_BYTES), 1: extended(measured.runtime), 2: extended(measured.program)}
        return {f"pcr{number}": value for number, value in pcrs.items()}

    def attest(
        self,
        measured: Measured,
        caller: CallerData,
        *,
        now: int,
        debug: bool = False,
        devices: tuple[Attested, ...] = (),
    ) -> Attested:
        """A document; `caller` has `user_data`, `nonce` and `public_key`, each of which may be None.

        In debug mode every register is zeros. Raises InvalidInput (W3B-9101).
        """
        check_time(now)
        _require_fields(caller)
        pcrs = {number: bytes(PCR_BYTES) for number in range(PCRS)}
        if not debug:
            pcrs |= {int(name.removeprefix("pcr")): value for name, value in self.measurements(measured).items()}
            pcrs[4] = extended(self._instance.encode())
        says = payload(self._chain(now), pcrs, caller, module_id=self._module, milliseconds=1000 * now)
        return Attested(Evidence(Platform.NITRO, signed(self.keys["enclave"], says)), Endorsements(), devices)

    @property
    def _instance(self) -> str:
        return f"i-{self._number('instance')}"

    @property
    def _module(self) -> str:
        return f"{self._instance}-enc{self._number('enclave')}"

    def _number(self, name: str) -> str:
        """Seventeen hex digits, as instances have them, of a key."""
        return hashlib.sha256(public_point(self.keys[name])).hexdigest()[:17]

    def _chain(self, now: int) -> list[bytes]:
        """Certificates that begin a minute before `now`, DER, leaf first."""
        issuer, chain = Issuer(self.root.subject, self.keys["root"]), [der(self.root)]
        for name, life, below in LEVELS:
            subject = Issuer(label(f"{self._number(name)}.{name}.simulated.nitro-enclaves", VENDOR), self.keys[name])
            validity = Validity.around(now, life, before=BACKDATED)
            chain.append(der(issue(subject, issuer, validity, authority=True, path_length=below)))
            issuer = subject
        subject = Issuer(label(f"{self._module}.simulated", VENDOR), self.keys["enclave"])
        validity = Validity.around(now, ENCLAVE_LIFE, before=BACKDATED)
        return [der(issue(subject, issuer, validity, authority=False)), *reversed(chain)]


def _require_fields(caller: CallerData) -> None:
    for name in caller:
        if name not in LIMITS:
            raise malformed(f"caller.{name}", "has no place in a document")
    for name, (least, most) in LIMITS.items():
        value = caller.get(name)
        if value is not None and not least <= len(value) <= most:
            raise malformed(f"caller.{name}", f"has {len(value)} bytes; {least} to {most}")
