"""X.509 certificates of the simulated vendors (RFC 5280), each with a name that says that it is simulated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from provers.tee.simulation.store import Key
from verifier.attestation.anchors import SIMULATED_LABEL
from verifier.errors import InvalidInput

HOUR, DAY, YEAR = 3600, 86_400, 31_557_600
"""Seconds."""
_HASHES: Mapping[str, hashes.SHA256 | hashes.SHA384] = {"secp256r1": hashes.SHA256(), "secp384r1": hashes.SHA384()}
_PSS = padding.PSS(padding.MGF1(hashes.SHA384()), 48)


@dataclass(frozen=True)
class Validity:
    """From and to, Unix seconds, both included."""

    begin: int
    end: int

    @classmethod
    def around(cls, now: int, seconds: int, *, before: int = DAY) -> Validity:
        """For `seconds` from now on, and for `before` seconds until now."""
        return cls(now - before, now + seconds)


LIFETIME = Validity(1_704_067_200, 2_524_607_999)
"""Of everything that an installation keeps: 2024-01-01 to 2049-12-31, the last day that a UTCTime can say."""


def check_time(now: int) -> int:
    """The time itself, where it is within `LIFETIME`. Raises InvalidInput (W3B-9101)."""
    if not LIFETIME.begin + DAY <= now <= LIFETIME.end:
        why = f"the time {now} is not in {LIFETIME.begin + DAY} to {LIFETIME.end}: simulated vendors have no other"
        raise InvalidInput("W3B-9101", why, field="now")
    return now


@dataclass(frozen=True)
class Issuer:
    """A name with its key."""

    name: x509.Name
    key: Key


def label(common: str, vendor: str) -> x509.Name:
    """The name of a certificate: whom it is not of, in the organisation."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, f"{SIMULATED_LABEL} - NOT {vendor} - NO TRUST"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def issue(
    subject: Issuer,
    issuer: Issuer,
    validity: Validity,
    *,
    authority: bool,
    path_length: int | None = None,
    constrained: bool = True,
    extensions: Mapping[str, bytes] | None = None,
    more: tuple[x509.ExtensionType, ...] = (),
) -> x509.Certificate:
    """A certificate of `subject`'s key, signed by `issuer` (for a root they are the same).

    Parameters: `authority` says whether it may sign others, at most `path_length` below it; `constrained` False leaves
    basic constraints and key usage out, as AMD's leaves do; `extensions` are DER by identifier, `more` are of RFC 5280;
    none of these is critical. EC keys sign with the hash of their size, RSA keys with PSS and SHA-384.
    """
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject.name)
        .issuer_name(issuer.name)
        .public_key(subject.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(validity.begin, UTC))
        .not_valid_after(datetime.fromtimestamp(validity.end, UTC))
    )
    if constrained:
        usage = x509.KeyUsage(not authority, False, False, False, False, authority, authority, False, False)
        builder = builder.add_extension(x509.BasicConstraints(authority, path_length), critical=True)
        builder = builder.add_extension(usage, critical=True)
    for identifier, value in (extensions or {}).items():
        unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier(identifier), value)
        builder = builder.add_extension(unknown, critical=False)
    for each in more:
        builder = builder.add_extension(each, critical=False)
    if isinstance(issuer.key, rsa.RSAPrivateKey):
        return builder.sign(issuer.key, hashes.SHA384(), rsa_padding=_PSS)
    return builder.sign(issuer.key, _HASHES[issuer.key.curve.name])


def der(certificate: x509.Certificate | x509.CertificateRevocationList) -> bytes:
    """The DER of a certificate or a revocation list."""
    return certificate.public_bytes(serialization.Encoding.DER)


def pem(*certificates: x509.Certificate) -> bytes:
    """A chain of PEM certificates."""
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


def public_point(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The public key as an uncompressed SEC1 point."""
    return key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
