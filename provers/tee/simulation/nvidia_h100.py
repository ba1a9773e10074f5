"""A simulated H100: SPDM 1.1 GET_MEASUREMENTS and its answer (DMTF DSP0274 1.1.0 §10.11) with NVIDIA's opaque data, the
GPU's chain, and the manifests of its driver and VBIOS.

A GPU measures its firmware, not what runs on it: `composite` has the attester of `tee.nvidia-h100`.
"""

from __future__ import annotations

import hashlib
import secrets
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from provers.tee.simulation import der
from provers.tee.simulation.attester import Attested
from provers.tee.simulation.certificates import LIFETIME, Issuer, check_time, issue, label, pem
from provers.tee.simulation.certificates import der as der_of
from provers.tee.simulation.cose import raw_signature
from provers.tee.simulation.nvidia_rim import manifest
from provers.tee.simulation.store import Store
from verifier.attestation import rim
from verifier.attestation.anchors import SimulatedAnchors
from verifier.attestation.evidence import Endorsements, Evidence, Platform, malformed
from verifier.errors import W3bstreamError

DRIVER_VERSION, VBIOS_VERSION = "570.00.SIMULATED", "96.00.00.00.00"
DRIVER_MEASUREMENTS, VBIOS_MEASUREMENTS = range(1, 32), range(32, 64)
"""Indices from 0 that each manifest vouches for; the 0th is zero on every GPU, and nobody's."""
COMPOSITE_DEVICE_ID = "2.23.133.5.4.1"
SHA_384 = "2.16.840.1.101.3.4.2.2"
FIRMWARE = hashlib.sha384(b"SIMULATED GH100 firmware").digest()
_DRIVER, _VBIOS, _NVDEC, _PROJECT, _FIRMWARE = 3, 6, 11, 15, 20
"""Types of opaque data."""
_NVDEC_ENABLED = b"\xaa"
_REQUEST, _ANSWER = b"\x11\xe0\x01\xff", b"\x11\x60\x00\x00"
"""SPDM 1.1: all measurements, signed, from slot 0."""
_DMTF, _DIGEST = 1, 1
"""Measurement specification; value type: digest of immutable code or configuration."""
_BLOCKS = 64


def measurement(index: int) -> bytes:
    """What the GPU measures: 48 bytes by index from 0."""
    return bytes(48) if index == 0 else hashlib.sha384(f"SIMULATED GH100 measurement {index}".encode()).digest()


@dataclass(frozen=True)
class _Member:
    """A name and key of the hierarchy with its chain, leaf first."""

    name: x509.Name
    key: ec.EllipticCurvePrivateKey
    chain: tuple[x509.Certificate, ...]


class NvidiaHierarchy:
    """Keys, certificates and manifests of an installation's simulated NVIDIA, made at the first use.

    Raises InvalidInput (W3B-9117), Unavailable (W3B-9118).
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        root = self._member("root", "Simulated Device Identity CA", None)
        identity = self._member("identity", "Simulated GH100 Identity", root)
        provisioner = self._member("provisioner", "Simulated GH100 Provisioner ICA 1", identity)
        self._brom = self._member("brom", "Simulated GH100 GSP BROM", provisioner)
        signers = self._member("reference-values", "Simulated Reference Value GH100 CA", root)
        self.root = der_of(root.chain[0])
        signer = self._member("rim", "Simulated HCC RIM Signer", signers, authority=False)
        self.manifests = {
            "driver.swidtag": self._manifest("driver.swidtag", DRIVER_VERSION, DRIVER_MEASUREMENTS, signer),
            "vbios.swidtag": self._manifest("vbios.swidtag", VBIOS_VERSION, VBIOS_MEASUREMENTS, signer),
        }

    def _member(
        self,
        name: str,
        common: str,
        above: _Member | None,
        *,
        authority: bool = True,
        extensions: Mapping[str, bytes] | None = None,
    ) -> _Member:
        key = self._store.ec_key(name, ec.SECP384R1)
        own = Issuer(label(common, "NVIDIA"), key)
        issuer = Issuer(above.name, above.key) if above else own
        certificate = self._store.certificate(
            name, key, lambda: issue(own, issuer, LIFETIME, authority=authority, extensions=extensions)
        )
        return _Member(own.name, key, (certificate, *(above.chain if above else ())))

    def _manifest(self, name: str, version: str, indices: Iterable[int], signer: _Member) -> bytes:
        """A manifest, made once; a file that no longer verifies is not used."""
        values = {index: measurement(index) for index in indices}
        made = self._store.part(name, lambda: manifest(version, values, signer.key, signer.chain))
        anchors = SimulatedAnchors("", {Platform.NVIDIA_H100: (self.root,)})
        try:
            found = rim.read(made, name, anchors.rim(), LIFETIME.begin)
        except W3bstreamError as error:
            raise self._store.damaged(name, f"does not hold: {error.message}") from error
        if (found.version, found.measurements) != (version, {index: (value,) for index, value in values.items()}):
            raise self._store.damaged(name, f"is not the manifest of {version}")
        return made

    def gpu(self, number: int) -> Gpu:
        """The machine's GPU of a number from 0 on."""
        firmware = der.sequence(der.identifier(SHA_384), der.octets(FIRMWARE))
        identity = der.sequence(der.integer(1), der.sequence(), firmware)
        leaf = self._member(
            f"gpu{number}",
            f"Simulated GH100 GPU {number}",
            self._brom,
            authority=False,
            extensions={COMPOSITE_DEVICE_ID: identity},
        )
        return Gpu(leaf.key, {"certificates.pem": pem(*leaf.chain), **self.manifests})


class Gpu:
    """One GPU, which signs reports."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, endorsements: Mapping[str, bytes]) -> None:
        self._key, self._endorsements = key, Endorsements(endorsements)
        blocks = b"".join(
            struct.pack("<BBHBH", index + 1, _DMTF, 51, _DIGEST, 48) + measurement(index) for index in range(_BLOCKS)
        )
        self._record = bytes([_BLOCKS]) + len(blocks).to_bytes(3, "little") + blocks
        b, c, d, e, f = (int(each, 16) for each in VBIOS_VERSION.split("."))
        opaque = {
            _DRIVER: DRIVER_VERSION.encode() + b"\0",
            _VBIOS: bytes([e, d, c, b, f, 0, 0, 0]),
            _NVDEC: _NVDEC_ENABLED,
            _PROJECT: b"SIMULATED\0",
            _FIRMWARE: FIRMWARE,
        }
        entries = b"".join(struct.pack("<HH", kind, len(value)) + value for kind, value in opaque.items())
        self._opaque = struct.pack("<H", len(entries)) + entries

    def attest(self, nonce: bytes, *, now: int) -> Attested:
        """A report over a nonce of 32 bytes, with its chain and manifests. Raises InvalidInput (W3B-9101)."""
        check_time(now)
        if len(nonce) != 32:
            raise malformed("nonce", f"has {len(nonce)} bytes, not 32")
        own_nonce = secrets.token_bytes(32)
        signed = _REQUEST + nonce + b"\0" + _ANSWER + self._record + own_nonce + self._opaque
        report = signed + raw_signature(self._key, signed)
        return Attested(Evidence(Platform.NVIDIA_H100, report), self._endorsements)
