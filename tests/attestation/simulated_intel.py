"""A simulated Intel: root, PCK CA, PCK, TCB signing key, CRLs, TCB info, QE identity, and quotes in Intel's layouts.

Whatever the genuine vectors cannot show (debug, a revoked key, a status of choice) is made here and appraised under
`SimulatedAnchors`; none of it may be accepted under the vendor's root.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import struct
from dataclasses import dataclass, field
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

from verifier.attestation.anchors import SimulatedAnchors
from verifier.attestation.evidence import Endorsements, Platform

NOW = datetime.datetime(2026, 11, 21, tzinfo=datetime.UTC)
AT = int(NOW.timestamp()) + 3600
DAY = datetime.timedelta(days=1)
CPU_SVN, PCE_SVN, FMSPC = bytes([1] * 16), 13, bytes.fromhex("51400000000f")
QE_SIGNER, QE_PRODUCT = hashlib.sha256(b"simulated QE signer").digest(), 1
SGX_EXTENSION = "1.2.840.113741.1.13.1"
DER = serialization.Encoding.DER


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def raw_signature(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def raw_point(key: ec.EllipticCurvePrivateKey) -> bytes:
    numbers = key.public_key().public_numbers()
    return numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")


def tlv(tag: int, body: bytes) -> bytes:
    size = len(body)
    head = bytes([size]) if size < 128 else bytes([0x81, size]) if size < 256 else b"\x82" + size.to_bytes(2, "big")
    return bytes([tag]) + head + body


def oid(text: str) -> bytes:
    first, second, *rest = (int(each) for each in text.split("."))
    body = bytearray([first * 40 + second])
    for value in rest:
        part = [value & 127]
        while value := value >> 7:
            part.append(value & 127 | 128)
        body += bytes(reversed(part))
    return tlv(6, bytes(body))


def pair(name: str, value: bytes) -> bytes:
    return tlv(0x30, oid(name) + value)


def number(value: int) -> bytes:
    return tlv(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def sgx_extension() -> bytes:
    """Intel's PCK extension, with the flags of a single-package platform left out."""
    base = SGX_EXTENSION
    tcb = b"".join(pair(f"{base}.2.{at + 1}", number(CPU_SVN[at])) for at in range(16))
    tcb += pair(f"{base}.2.17", number(PCE_SVN)) + pair(f"{base}.2.18", tlv(4, CPU_SVN))
    return tlv(
        0x30,
        pair(f"{base}.1", tlv(4, bytes(16)))
        + pair(f"{base}.2", tlv(0x30, tcb))
        + pair(f"{base}.3", tlv(4, b"\0\0"))
        + pair(f"{base}.4", tlv(4, FMSPC))
        + pair(f"{base}.5", tlv(0x0A, b"\0")),
    )


def name(common: str, organisation: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
        ]
    )


def iso(at: datetime.datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class SimulatedIntel:
    """One hierarchy; its parts are made once."""

    organisation: str = "SIMULATED - NOT INTEL - NO TRUST"
    status: str = "UpToDate"
    advisories: list[str] = field(default_factory=list)
    evaluation_number: int = 17
    tcb_date: datetime.datetime = NOW
    revoked: bool = False
    """Whether the PCK is on its CA's list."""
    keys: dict[str, ec.EllipticCurvePrivateKey] = field(
        default_factory=lambda: {each: new_key() for each in ("root", "ca", "pck", "tcb", "attestation")}
    )

    def _certificate(self, common: str, role: str, issuer: str, *, extension: bytes = b"") -> x509.Certificate:
        authority = role in ("root", "ca")
        issuer_name = self.root.subject if issuer != role else name(common, self.organisation)
        if issuer == "ca":
            issuer_name = self.ca.subject
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(common, self.organisation))
            .issuer_name(issuer_name)
            .public_key(self.keys[role].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - DAY)
            .not_valid_after(NOW + 365 * DAY)
            .add_extension(x509.BasicConstraints(authority, {"root": 1, "ca": 0}.get(role)), True)
            .add_extension(
                x509.KeyUsage(not authority, not authority, False, False, False, authority, authority, False, False),
                True,
            )
            .add_extension(
                x509.CRLDistributionPoints(
                    [
                        x509.DistributionPoint(
                            [x509.UniformResourceIdentifier("https://simulated.invalid/crl.der")], None, None, None
                        )
                    ]
                ),
                False,
            )
        )
        if extension:
            builder = builder.add_extension(
                x509.UnrecognizedExtension(x509.ObjectIdentifier(SGX_EXTENSION), extension), False
            )
        return builder.sign(self.keys[issuer], hashes.SHA256())

    @cached_property
    def root(self) -> x509.Certificate:
        return self._certificate("Simulated SGX Root CA", "root", "root")

    @cached_property
    def ca(self) -> x509.Certificate:
        # dcap-qvl chooses the CA's list by this common name; the organisation says what it is.
        return self._certificate("Intel SGX PCK Platform CA", "ca", "root")

    @cached_property
    def pck(self) -> x509.Certificate:
        return self._certificate("Simulated SGX PCK Certificate", "pck", "ca", extension=sgx_extension())

    @cached_property
    def tcb(self) -> x509.Certificate:
        return self._certificate("Simulated SGX TCB Signing", "tcb", "root")

    @property
    def anchors(self) -> SimulatedAnchors:
        der = self.root.public_bytes(DER)
        return SimulatedAnchors("tests", {Platform.SGX: (der,), Platform.TDX: (der,)})

    def _crl(self, issuer: str, revoked: x509.Certificate | None = None) -> bytes:
        certificate = self.root if issuer == "root" else self.ca
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(certificate.subject)
            .last_update(NOW - DAY)
            .next_update(NOW + 30 * DAY)
            .add_extension(x509.CRLNumber(1), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.keys[issuer].public_key()), False)
        )
        if revoked is not None:
            entry = x509.RevokedCertificateBuilder().serial_number(revoked.serial_number).revocation_date(NOW - DAY)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self.keys[issuer], hashes.SHA256()).public_bytes(DER)

    def _pem(self, *certificates: x509.Certificate) -> str:
        return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates).decode()

    def collateral(self, platform: Platform, **changes: object) -> Endorsements:
        """The collateral of a platform; `changes` replace fields of it."""
        levels = {"sgxtcbcomponents": [{"svn": 1}] * 16, "pcesvn": PCE_SVN}
        info: dict[str, object] = {
            "id": "SGX",
            "version": 3,
            "issueDate": iso(NOW),
            "nextUpdate": iso(NOW + 30 * DAY),
            "fmspc": FMSPC.hex().upper(),
            "pceId": "0000",
            "tcbType": 0,
            "tcbEvaluationDataNumber": self.evaluation_number,
        }
        module = {"mrsigner": "00" * 48, "attributes": "00" * 8, "attributesMask": "FF" * 8}
        level = {"tcbDate": iso(self.tcb_date), "tcbStatus": "UpToDate"}
        if platform is Platform.TDX:
            levels["tdxtcbcomponents"] = [{"svn": 1}] * 16
            modules = [{"id": "TDX_01", **module, "tcbLevels": [{"tcb": {"isvsvn": 1}, **level}]}]
            info |= {"id": "TDX", "tdxModule": module, "tdxModuleIdentities": modules}
        info["tcbLevels"] = [
            {"tcb": levels, "tcbDate": iso(self.tcb_date), "tcbStatus": self.status, "advisoryIDs": self.advisories}
        ]
        identity = {
            "id": "TD_QE" if platform is Platform.TDX else "QE",
            "version": 2,
            "issueDate": iso(NOW),
            "nextUpdate": iso(NOW + 30 * DAY),
            "tcbEvaluationDataNumber": self.evaluation_number,
            "miscselect": "00000000",
            "miscselectMask": "FFFFFFFF",
            "attributes": "11" + "00" * 15,
            "attributesMask": "FB" + "FF" * 7 + "00" * 8,
            "mrsigner": QE_SIGNER.hex().upper(),
            "isvprodid": QE_PRODUCT,
            "tcbLevels": [{"tcb": {"isvsvn": 1}, **level}],
        }
        info_text, identity_text = (json.dumps(each, separators=(",", ":")) for each in (info, identity))
        found: dict[str, object] = {
            "pck_crl_issuer_chain": self._pem(self.ca, self.root),
            "root_ca_crl": self._crl("root").hex(),
            "pck_crl": self._crl("ca", self.pck if self.revoked else None).hex(),
            "tcb_info_issuer_chain": self._pem(self.tcb, self.root),
            "tcb_info": info_text,
            "tcb_info_signature": raw_signature(self.keys["tcb"], info_text.encode()).hex(),
            "qe_identity_issuer_chain": self._pem(self.tcb, self.root),
            "qe_identity": identity_text,
            "qe_identity_signature": raw_signature(self.keys["tcb"], identity_text.encode()).hex(),
        }
        return Endorsements({"collateral.json": json.dumps(found | changes).encode()})

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
        tdx = platform is Platform.TDX
        header = struct.pack(
            "<HHIHH16s20s",
            4 if tdx else 3,
            2,
            0x81 if tdx else 0,
            0 if tdx else 1,
            0 if tdx else PCE_SVN,
            bytes.fromhex("939a7233f79c4ca9940a0db3957f0607"),
            b"SIMULATED",
        )
        body = (
            td_report(report_data, measurement, debug)
            if tdx
            else enclave_report(
                report_data, measurement[:32], hashlib.sha256(b"simulated signer").digest(), debug=debug
            )
        )
        attestation, auth = self.keys["attestation"], b"SIMULATED".ljust(32, b"\0")
        signature = raw_signature(attestation, header + body) + raw_point(attestation)
        bound = hashlib.sha256(raw_point(attestation) + auth).digest() + bytes(32)
        qe = enclave_report(bound, bytes(32), QE_SIGNER, product=QE_PRODUCT)
        chain = self._pem(self.pck, self.ca, last or self.root).encode() + b"\0"
        inner = qe + raw_signature(self.keys["pck"], qe) + struct.pack("<H", len(auth)) + auth
        inner += struct.pack("<HI", 5, len(chain)) + chain
        section = signature + (struct.pack("<HI", 6, len(inner)) + inner if tdx else inner)
        return header + body + struct.pack("<I", len(section)) + section


def enclave_report(
    report_data: bytes, mrenclave: bytes, mrsigner: bytes, *, product: int = 0, debug: bool = False
) -> bytes:
    attributes = bytes([0x13 if debug else 0x11]) + bytes(15)
    return (
        CPU_SVN
        + bytes(32)
        + attributes
        + mrenclave
        + bytes(32)
        + mrsigner
        + bytes(96)
        + struct.pack("<HH", product, 1)
        + bytes(60)
        + report_data
    )


def td_report(report_data: bytes, mrtd: bytes, debug: bool) -> bytes:
    attributes = bytes([debug, 0, 0, 0x10, 0, 0, 0, 0])  # SEPT_VE_DISABLE, which verifiers insist on
    xfam = b"\xe7\0\x06\0\0\0\0\0"
    return bytes([1] * 16) + bytes(104) + attributes + xfam + mrtd + bytes(48 * 3) + bytes(48 * 4) + report_data
