"""Reference integrity manifests of the simulated NVIDIA: SWID tags (ISO 19770-2) under an enveloped XML signature.

Layout: NVIDIA's published `GH100` manifests; what `verifier.attestation.rim` reads of them, and their signer's chain.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureConstructionMethod, SignatureMethod
from signxml.signer import XMLSigner

from provers.tee.simulation.certificates import pem

_SWID = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd"
_SHA384 = "http://www.w3.org/2001/04/xmlenc#sha384"
_RIM = "https://trustedcomputinggroup.org/resource/tcg-reference-integrity-manifest-rim-information-model/"
_VENDOR = "SIMULATED - NOT NVIDIA - NO TRUST"
_MEASURED = 64
"""Measurements that a manifest lists, active or not."""


def manifest(
    version: str, values: Mapping[int, bytes], key: ec.EllipticCurvePrivateKey, chain: Sequence[x509.Certificate]
) -> bytes:
    """A signed manifest of a driver or VBIOS.

    Parameters: `values` are 48 bytes by measurement's index from 0; the others are not active. `chain` is the signer's,
    leaf first, of which `key` is the leaf's.
    """
    names = {None: _SWID, "ns0": _SWID, "ns2": _SHA384}
    tag = hashlib.sha384(f"{_VENDOR} {version}".encode()).hexdigest()
    root = etree.Element(
        f"{{{_SWID}}}SoftwareIdentity",
        {"name": "GH100", "corpus": "false", "patch": "false", "supplemental": "false", "tagId": tag}
        | {"version": "1.0", "tagVersion": "0"},
        names,
    )
    etree.SubElement(root, f"{{{_SWID}}}Entity", {"name": _VENDOR, "role": "softwareCreator tagCreator"})
    etree.SubElement(
        root,
        f"{{{_SWID}}}Meta",
        {"colloquialVersion": version, "edition": "GPU", "product": "GH100", "revision": "r1", "PayloadType": "direct"}
        | {f"{{{_RIM}}}BindingSpec": "RIMIM", f"{{{_RIM}}}BindingSpecVersion": "1.01"}
        | {f"{{{_RIM}}}PlatformManufacturerStr": _VENDOR, f"{{{_RIM}}}PlatformModel": "GH100"},
    )
    payload = etree.SubElement(root, f"{{{_SWID}}}Payload")
    for index in range(_MEASURED):
        measurement = {
            "type": "Measurement",
            "index": str(index),
            "active": str(index in values),
            "alternatives": "1",
            f"{{{_SHA384}}}Hash0": values.get(index, bytes(48)).hex(),
            "name": f"Measurement_{index}",
            "size": "48",
        }
        etree.SubElement(payload, f"{{{_SWID}}}Resource", measurement)
    signer = XMLSigner(
        SignatureConstructionMethod.enveloped,
        SignatureMethod.ECDSA_SHA384,
        DigestAlgorithm.SHA384,
        CanonicalizationMethod.CANONICAL_XML_1_1,
    )
    return bytes(etree.tostring(signer.sign(root, key=key, cert=pem(*chain).decode())))
