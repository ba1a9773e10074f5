"""Hierarchies and evidence of our own in the vendors' formats, each part of which a test may spoil."""

from __future__ import annotations

import datetime
import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from provers.tee.simulation import nitro
from provers.tee.simulation import snp_report as snp_layout
from provers.tee.simulation.cose import raw_signature
from provers.tee.simulation.snp_report import Machine

NOW = 1_800_000_000
"""The time of every check here, Unix seconds."""
DAY = 86_400
P384_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973
COMPOSITE_DEVICE_ID = "2.23.133.5.4.1"

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA384()), salt_length=48)


@cache
def p384(label: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP384R1())


@cache
def p256(label: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@cache
def rsa_key(label: str, bits: int = 4096, exponent: int = 65537) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(exponent, bits)


def name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "SIMULATED"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def moment(seconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def der(certificate: x509.Certificate | x509.CertificateRevocationList) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def fingerprint(certificate: x509.Certificate) -> bytes:
    return hashlib.sha256(der(certificate)).digest()


def usage(*, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(digital_signature, False, False, False, False, key_cert_sign, crl_sign, False, False)


CA_USAGE = usage(key_cert_sign=True, crl_sign=True)
LEAF_USAGE = usage(digital_signature=True)


@dataclass(frozen=True)
class Part:
    """One certificate to be. `ca` None leaves basic constraints out; `key_usage` None leaves key usage out."""

    common: str
    key: Key
    ca: bool | None = True
    path_length: int | None = None
    key_usage: x509.KeyUsage | None = CA_USAGE
    extensions: tuple[tuple[str, bytes, bool], ...] = ()
    not_before: int = NOW - DAY
    not_after: int = NOW + DAY
    issuer: str | None = None
    hash: hashes.SHA256 | hashes.SHA384 | hashes.SHA512 = field(default_factory=hashes.SHA384)
    rsa_padding: padding.PSS | padding.PKCS1v15 = field(default_factory=lambda: PSS)


def sign(part: Part, issuer: Part) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(part.common))
        .issuer_name(name(part.issuer or issuer.common))
        .public_key(part.key.public_key())
        .serial_number(serial(part.common))
        .not_valid_before(moment(part.not_before))
        .not_valid_after(moment(part.not_after))
    )
    if part.ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(part.ca, part.path_length), critical=True)
    if part.key_usage is not None:
        builder = builder.add_extension(part.key_usage, critical=True)
    for oid, value, critical in part.extensions:
        builder = builder.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value), critical)
    if isinstance(issuer.key, rsa.RSAPrivateKey):
        return builder.sign(issuer.key, part.hash, rsa_padding=part.rsa_padding)
    return builder.sign(issuer.key, part.hash)


def serial(common: str) -> int:
    return int.from_bytes(hashlib.sha256(common.encode()).digest()[:8]) | 1


def chain(parts: Sequence[Part]) -> tuple[list[bytes], list[bytes]]:
    """Certificates leaf first, and the anchors. `parts` run from the root to the leaf."""
    issuers = [parts[0], *parts]
    certificates = [sign(part, issuer) for part, issuer in zip(parts, issuers, strict=False)]
    return [der(each) for each in reversed(certificates)], [fingerprint(certificates[0])]


def revocation_list(
    issuer: Part,
    revoked: Iterable[str] = (),
    *,
    last_update: int = NOW - DAY,
    next_update: int = NOW + DAY,
    signer: Key | None = None,
    partial: bool = False,
) -> bytes:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(name(issuer.common))
        .last_update(moment(last_update))
        .next_update(moment(next_update))
        .add_extension(x509.CRLNumber(1), critical=False)
    )
    if partial:
        point = x509.IssuingDistributionPoint(
            [x509.UniformResourceIdentifier("http://x.invalid")], None, True, False, None, False, False
        )
        builder = builder.add_extension(point, critical=True)
    for common in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial(common)).revocation_date(moment(NOW - DAY))
        builder = builder.add_revoked_certificate(
            entry.add_extension(x509.CRLReason(x509.ReasonFlags.key_compromise), False).build()
        )
    key = signer or issuer.key
    if isinstance(key, rsa.RSAPrivateKey):
        return der(builder.sign(key, hashes.SHA384(), rsa_padding=PSS))
    return der(builder.sign(key, hashes.SHA384()))


# --- SEV-SNP ---


def machine(product: str, version: int = 3, *, provider: str | None = None, chip: bytes | None = None) -> Machine:
    """A machine of the levels that `Tcb` has by default."""
    return Machine(chip or chip_id(product), product, provider=provider, report_version=version)


def endorsements(product: str, *, provider: str | None = None, chip: bytes | None = None) -> dict[str, bytes]:
    """AMD's extensions by the number behind 1.3.6.1.4.1.3704.1."""
    return machine(product, provider=provider, chip=chip).endorsement()


def chip_id(product: str) -> bytes:
    return bytes(range(1, 9 if product == "Turin" else 65))


def snp_parts(extensions: dict[str, bytes]) -> list[Part]:
    """ARK, ASK and VCEK or VLEK."""
    added = tuple((f"{snp_layout.OID}.{number}", value, False) for number, value in extensions.items())
    return [
        Part("ARK", rsa_key("ARK")),
        Part("ASK", rsa_key("ASK"), path_length=0, key_usage=usage(key_cert_sign=True)),
        Part("SEV-VCEK", p384("VCEK"), ca=None, key_usage=None, extensions=added),
    ]


def snp_report(
    product: str, version: int = 3, *, provider: bool = False, changes: dict[int, bytes] | None = None
) -> bytes:
    """A report whose body is changed at offsets before it is signed."""
    body = bytearray(
        machine(product, version, provider="Example Cloud" if provider else None).body(
            hashlib.sha512(b"report data").digest(),
            hashlib.sha384(b"image").digest(),
            hashlib.sha256(b"host").digest(),
            guest_svn=7,
        )
    )
    for offset, value in (changes or {}).items():
        body[offset : offset + len(value)] = value
    return snp_layout.signed(bytes(body), p384("VCEK"))


# --- Nitro ---


def nitro_parts() -> list[Part]:
    """Root, region, zone, instance and enclave."""
    return [
        Part("sim.nitro-enclaves", p384("root")),
        Part("region", p384("region"), path_length=2),
        Part("zone", p384("zone"), path_length=1),
        Part("instance", p384("instance"), path_length=0),
        Part("enclave", p384("enclave"), ca=False, key_usage=LEAF_USAGE),
    ]


def nitro_document(certificates: Sequence[bytes], changes: dict[str, object] | None = None) -> bytes:
    """A document whose certificates run leaf first."""
    pcrs = {number: hashlib.sha384(bytes([number])).digest() for number in range(16)}
    caller = {"public_key": b"key", "user_data": b"data", "nonce": b"nonce"}
    says = nitro.payload(certificates, pcrs, caller, module_id="i-0123-enc0123", milliseconds=NOW * 1000)
    return nitro.signed(p384("enclave"), says | (changes or {}))


# --- H100 ---


def device_identity(digest: bytes) -> bytes:
    """CompositeDeviceID with an empty key, which nothing reads."""
    firmware = b"\x30\x3d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x04\x30" + digest
    body = b"\x02\x01\x01\x30\x00" + firmware
    return b"\x30" + bytes([len(body)]) + body


FIRMWARE = hashlib.sha384(b"firmware").digest()


def h100_parts(extensions: tuple[tuple[str, bytes, bool], ...] | None = None) -> list[Part]:
    """Root, identity, provisioner, boot ROM and GPU."""
    added = ((COMPOSITE_DEVICE_ID, device_identity(FIRMWARE), False),) if extensions is None else extensions
    return [
        Part("Device Identity CA", p384("nv-root")),
        Part("Identity", p384("nv-identity")),
        Part("Provisioner", p384("nv-provisioner")),
        Part("BROM", p384("nv-brom"), key_usage=usage(key_cert_sign=True)),
        Part("GPU", p384("nv-gpu"), ca=None, key_usage=LEAF_USAGE, extensions=added),
    ]


def h100_report(nonce: bytes = bytes(32), opaque: dict[int, bytes] | None = None, measurements: int = 64) -> bytes:
    data = {3: b"570.01\0", 6: bytes([1, 0x9F, 0, 0x96, 2, 0, 0, 0]), 20: FIRMWARE} if opaque is None else opaque
    blocks = b"".join(
        struct.pack("<BBHBH", index, 1, 51, 1, 48) + hashlib.sha384(bytes([index])).digest()
        for index in range(1, measurements + 1)
    )
    entries = b"".join(struct.pack("<HH", kind, len(value)) + value for kind, value in data.items())
    answer = b"\x11\x60\x00\x00" + bytes([measurements]) + len(blocks).to_bytes(3, "little") + blocks
    message = b"\x11\xe0\x01\xff" + nonce + b"\0" + answer + bytes(32) + struct.pack("<H", len(entries)) + entries
    return message + raw_signature(p384("nv-gpu"), message)
