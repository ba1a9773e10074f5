"""Certificate chains and revocation lists: what a hierarchy must be for the native verifiers to follow it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from native_hierarchies import (
    LEAF_USAGE,
    NOW,
    Part,
    chain,
    h100_parts,
    h100_report,
    nitro_document,
    nitro_parts,
    p256,
    p384,
    revocation_list,
    rsa_key,
    usage,
)

from native._native import AttestationRefused, h100_verify, nitro_verify, x509_verify


def refused(work: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(AttestationRefused) as caught:
        work()
    reason, field, text = caught.value.args
    assert text
    return reason, field


def spoiled(place: int, **changes: Any) -> tuple[str, str]:
    """The refusal of the H100's chain, root first, with one certificate changed."""
    parts = h100_parts()
    parts[place] = replace(parts[place], **changes)
    certificates, anchors = chain(parts)
    return refused(lambda: x509_verify(certificates, anchors, NOW))


def test_a_chain_hands_out_its_leafs_key() -> None:
    certificates, anchors = chain(h100_parts())
    key = x509.load_der_x509_certificate(certificates[0]).public_key()
    expected = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert x509_verify(certificates, anchors, NOW) == expected
    assert x509_verify(certificates, [bytes(32), *anchors], NOW) == expected


def test_every_algorithm_signs_for_every_other() -> None:
    root = Part("root", rsa_key("ARK"))
    middle = Part("middle", p256("middle"))
    for leaf in (p384("leaf"), p256("leaf"), rsa_key("ASK")):
        last = Part("leaf", leaf, ca=False, key_usage=LEAF_USAGE, hash=hashes.SHA256())
        certificates, anchors = chain([root, middle, last])
        assert x509_verify(certificates, anchors, NOW)


@pytest.mark.parametrize(
    ("place", "changes", "expected"),
    [
        (2, {"ca": False}, ("constraint", "certificate.basic_constraints")),
        (2, {"ca": None}, ("constraint", "certificate.basic_constraints")),
        (0, {"ca": False}, ("constraint", "certificate.basic_constraints")),
        (2, {"key_usage": None}, ("constraint", "certificate.key_usage")),
        (2, {"key_usage": usage(digital_signature=True, crl_sign=True)}, ("constraint", "certificate.key_usage")),
        (1, {"path_length": 1}, ("constraint", "certificate.path_length")),
        (0, {"path_length": 2}, ("constraint", "certificate.path_length")),
        (2, {"path_length": 0}, ("constraint", "certificate.path_length")),
        (4, {"ca": True}, ("constraint", "certificate.basic_constraints")),
        (4, {"key_usage": usage(key_cert_sign=True)}, ("constraint", "certificate.key_usage")),
        (4, {"key_usage": usage(digital_signature=True, key_cert_sign=True)}, ("constraint", "certificate.key_usage")),
        (4, {"key_usage": usage(crl_sign=True)}, ("constraint", "certificate.key_usage")),
        (3, {"not_after": NOW - 1}, ("expired", "certificate.validity")),
        (3, {"not_before": NOW + 1}, ("not-yet-valid", "certificate.validity")),
        (0, {"not_after": NOW - 1}, ("expired", "certificate.validity")),
        (3, {"issuer": "somebody else"}, ("issuer", "certificate.issuer")),
        (3, {"hash": hashes.SHA256()}, ("algorithm", "certificate.signature_algorithm")),
        (3, {"hash": hashes.SHA512()}, ("algorithm", "certificate.signature_algorithm")),
        (4, {"extensions": (("1.2.3.4", b"\x05\x00", True),)}, ("unknown", "certificate.extensions")),
    ],
)
def test_a_certificate_out_of_place(place: int, changes: dict[str, Any], expected: tuple[str, str]) -> None:
    assert spoiled(place, **changes) == expected


def test_path_lengths_that_suffice() -> None:
    parts = h100_parts()
    for place, length in ((0, 3), (1, 2), (2, 1), (3, 0)):
        parts[place] = replace(parts[place], path_length=length)
    certificates, anchors = chain(parts)
    assert x509_verify(certificates, anchors, NOW)


def test_a_name_alone_is_no_signature() -> None:
    """A certificate by an impostor with the issuer's name."""
    certificates, anchors = chain(h100_parts())
    impostor = [replace(part, key=p384("impostor")) if part.common == "BROM" else part for part in h100_parts()]
    forged, _ = chain(impostor)
    assert refused(lambda: x509_verify([forged[0], *certificates[1:]], anchors, NOW)) == (
        "signature",
        "certificate.signature",
    )


def test_algorithms_that_no_vendor_uses() -> None:
    def of(root: Part, leaf: Part) -> tuple[str, str]:
        certificates, anchors = chain([root, leaf])
        return refused(lambda: x509_verify(certificates, anchors, NOW))

    leaf = Part("leaf", p384("leaf"), ca=False, key_usage=LEAF_USAGE)
    identifier = ("algorithm", "certificate.signature_algorithm")
    key = ("algorithm", "certificate.key")
    root = Part("root", rsa_key("ARK"))
    assert of(root, replace(leaf, rsa_padding=padding.PKCS1v15())) == identifier
    for pss in (
        padding.PSS(padding.MGF1(hashes.SHA384()), 32),
        padding.PSS(padding.MGF1(hashes.SHA256()), 48),
    ):
        assert of(root, replace(leaf, rsa_padding=pss)) == identifier
    assert of(root, replace(leaf, hash=hashes.SHA256())) == identifier
    assert of(Part("root", rsa_key("short", 2048)), leaf) == key
    assert of(Part("root", rsa_key("three", 4096, 3)), leaf) == key


def test_a_platform_takes_its_own_keys_alone() -> None:
    """A P-256 key holds as a signer of something, and not as a GPU's or an enclave's."""
    parts = [*h100_parts()[:4], replace(h100_parts()[4], key=p256("gpu"))]
    certificates, anchors = chain(parts)
    assert x509_verify(certificates, anchors, NOW)
    expected = ("algorithm", "certificate.key")
    assert refused(lambda: h100_verify(h100_report(), certificates, anchors, NOW)) == expected
    parts = [*nitro_parts()[:4], replace(nitro_parts()[4], key=p256("enclave"))]
    certificates, anchors = chain(parts)
    assert refused(lambda: nitro_verify(nitro_document(certificates), anchors, NOW)) == expected


def test_counts() -> None:
    certificates, anchors = chain(h100_parts())
    too_few: list[list[bytes]] = [[], certificates[:1], certificates[-1:]]
    for wrong in [*too_few, [certificates[0]] * 8 + certificates[-1:]]:
        assert refused(partial(x509_verify, wrong, anchors, NOW)) == ("length", "certificates")
    assert refused(lambda: x509_verify(certificates, [], NOW)) == ("anchor", "certificates")
    with pytest.raises(ValueError, match="32 bytes"):
        x509_verify(certificates, [anchors[0][:31]], NOW)


def with_lists(*lists: bytes) -> tuple[str, str]:
    certificates, anchors = chain(h100_parts())
    return refused(lambda: x509_verify(certificates, anchors, NOW, list(lists)))


def test_a_revocation_list_without_the_chain_in_it() -> None:
    certificates, anchors = chain(h100_parts())
    root, identity = h100_parts()[:2]
    lists = [revocation_list(root), revocation_list(root, ["another"]), revocation_list(identity, ["BROM", "GPU"])]
    assert x509_verify(certificates, anchors, NOW, lists)


def test_a_withdrawn_certificate() -> None:
    root, identity, provisioner = h100_parts()[:3]
    revoked = ("revoked", "certificate.serial")
    assert with_lists(revocation_list(root, ["Identity"])) == revoked
    assert with_lists(revocation_list(identity), revocation_list(provisioner, ["x", "BROM"])) == revoked


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"next_update": NOW - 1}, ("expired", "revocation_list.validity")),
        ({"last_update": NOW + 1}, ("not-yet-valid", "revocation_list.validity")),
        ({"signer": p384("impostor")}, ("signature", "revocation_list.signature")),
        ({"signer": rsa_key("ARK")}, ("algorithm", "revocation_list.signature_algorithm")),
        ({"partial": True}, ("unknown", "revocation_list.extensions")),
    ],
)
def test_a_list_that_does_not_hold(changes: dict[str, Any], expected: tuple[str, str]) -> None:
    assert with_lists(revocation_list(h100_parts()[0], **changes)) == expected


def test_lists_by_others() -> None:
    assert with_lists(revocation_list(Part("stranger", p384("stranger")))) == ("issuer", "revocation_list.issuer")
    # May sign certificates and no lists; and the leaf may sign neither.
    for signer in h100_parts()[3:]:
        assert with_lists(revocation_list(signer)) == ("constraint", "revocation_list.issuer")
    assert with_lists(b"") == ("length", "revocation_list")
    assert with_lists(*[revocation_list(h100_parts()[0])] * 9) == ("length", "revocation_lists")


def test_every_byte_of_a_list_counts() -> None:
    certificates, anchors = chain(h100_parts())
    good = revocation_list(h100_parts()[0], ["another"])
    assert x509_verify(certificates, anchors, NOW, [good])
    for place in range(len(good)):
        changed = good[:place] + bytes([good[place] ^ 1 << place % 8]) + good[place + 1 :]
        refused(partial(x509_verify, certificates, anchors, NOW, [changed]))
