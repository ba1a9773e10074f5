"""Each byte of what is signed, changed and signed again: where the contracts accept, dcap-qvl does.

A parser that takes a text for another than dcap-qvl does would show here: the signature holds, only the reading differs.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from provers.tee.simulation import der
from provers.tee.simulation.certificates import der as der_of
from provers.tee.simulation.intel import pck_extension
from tests.contracts.dcap_machine import AT, ISSUED, Machine
from tests.contracts.dcap_world import GAS, DcapChain, pem_of, start
from verifier import dcap_calldata as calldata
from verifier.attestation.appraisal import appraise
from verifier.attestation.evidence import Endorsements, Evidence, Platform
from verifier.attestation.policy import AppraisalPolicy
from verifier.bindings import Revert
from verifier.errors import W3bstreamError

MACHINE = Machine()
PLATFORM = Platform.TDX
ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
QUOTE = MACHINE.quote(PLATFORM)
LIST = MACHINE.revocation_list("ca", (MACHINE.keys.pck_ca,))


POINTS = MACHINE.keys.pck.extensions.get_extension_for_class(x509.CRLDistributionPoints).value.public_bytes()
"""Content of an extension that the contracts know nothing of; dcap-qvl wants it well formed."""
CONFIGURATION = pck_extension().split(bytes.fromhex("060a2a864886f84d010d0106"))[1]
"""What a Platform CA's certificate says after the SGX type."""


def raw_certificates(fields: dict[str, str], name: str) -> list[bytes]:
    """As the encoder's, without a look at what is in the PEM: what is malformed comes to the contracts as well."""
    bodies = re.findall(r"-----BEGIN CERTIFICATE-----(.*?)-----END", fields[name], re.DOTALL)
    return [base64.b64decode(each) for each in bodies]


@pytest.fixture(autouse=True)
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calldata, "_certificates", raw_certificates)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DcapChain, bytes, bytes]]:
    """A chain, an empty store and an adapter of it."""
    for dcap in start(tmp_path_factory.mktemp("dcap"), AT - 600):
        store = dcap.store(MACHINE.root)
        adapter = dcap.adapter(store, 0x81, frozenset({"UpToDate"}))
        dcap.at(AT)
        dcap.keep()
        yield dcap, store, adapter


def off_chain(quote: bytes, endorsements: Endorsements) -> bool:
    try:
        result = appraise(Evidence(PLATFORM, quote), endorsements, MACHINE.intel.anchors, AppraisalPolicy(), at=AT)
    except W3bstreamError:
        return False
    return result.findings == ()


def on_chain(world: tuple[DcapChain, bytes, bytes], quote: bytes, endorsements: Endorsements) -> bool:
    """Whether a store that has this collateral alone accepts the quote."""
    dcap, store, adapter = world
    call = calldata.collateral_calls(quote, endorsements).together()
    dcap.go_back()
    found = dcap.chain.call(store, call, gas=GAS)
    if isinstance(found, Revert):
        assert found.name in ("CollateralRefused", "MalformedDer", "MalformedJson"), found
        return False
    dcap.send(store, call)
    return isinstance(dcap.appraise(adapter, calldata.evidence(quote)), tuple)


def signed(inner: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """A certificate or list of this content."""
    signature = key.sign(inner, ec.ECDSA(hashes.SHA256()))
    return der.sequence(inner, ECDSA_SHA256, der.element(0x03, b"\0" + signature))


def flips(data: bytes, step: int, unread: Sequence[bytes] = ()) -> Iterator[bytes]:
    """The data with a bit changed, at every so many bytes that are not in `unread`, of which the last counts."""
    skipped = {place for each in unread for place in range(data.rindex(each), data.rindex(each) + len(each))}
    for place in range(0, len(data), step):
        if place not in skipped:
            yield data[:place] + bytes([data[place] ^ 1 << (place // step % 8)]) + data[place + 1 :]


def identifiers(inner: bytes) -> bytes:
    """A certificate's extensions from the authority key identifier on: those that the contracts know nothing of."""
    return inner[inner.index(bytes.fromhex("0603551d23")) - 2 :]


def compare(
    world: tuple[DcapChain, bytes, bytes],
    variants: Iterator[bytes],
    make: Callable[[bytes], tuple[bytes, Endorsements]],
) -> int:
    """How many variants both accept; fails where the contracts alone do."""
    both = 0
    for variant in variants:
        made = make(variant)
        expected = off_chain(*made)
        found = on_chain(world, *made)
        assert expected or not found, variant.hex()
        both += found
    return both


def with_fields(**changes: str) -> Endorsements:
    return Endorsements({"collateral.json": json.dumps(MACHINE.fields(PLATFORM) | changes).encode()})


def with_chain(pck: bytes, authority: bytes) -> bytes:
    """The quote with other certificates in it."""
    old = pem_of(der_of(MACHINE.keys.pck)) + pem_of(der_of(MACHINE.keys.pck_ca))
    new = pem_of(pck) + pem_of(authority)
    assert old in QUOTE
    changed = QUOTE.replace(old, new)
    # Three lengths count the chain: of the signature section, of its certification data and of the chain.
    for place in (632, 632 + 4 + 128 + 2, 632 + 4 + 128 + 6 + 384 + 64 + 34 + 2):
        length = int.from_bytes(changed[place : place + 4], "little") + len(new) - len(old)
        changed = changed[:place] + length.to_bytes(4, "little") + changed[place + 4 :]
    return changed


def test_nothing_changed_is_accepted(world: tuple[DcapChain, bytes, bytes]) -> None:
    """What is made here is well made."""
    pck = signed(MACHINE.keys.pck.tbs_certificate_bytes, MACHINE.keys.pck_ca_key)
    authority = signed(MACHINE.keys.pck_ca.tbs_certificate_bytes, MACHINE.keys.root_key)
    assert on_chain(world, with_chain(pck, authority), with_fields())
    assert off_chain(with_chain(pck, authority), with_fields())


def test_a_pck_certificate(world: tuple[DcapChain, bytes, bytes]) -> None:
    authority = der_of(MACHINE.keys.pck_ca)

    def make(inner: bytes) -> tuple[bytes, Endorsements]:
        return with_chain(signed(inner, MACHINE.keys.pck_ca_key), authority), with_fields()

    # Nothing is below a PCK, so nobody asks for its name.
    unread = (MACHINE.keys.pck.subject.public_bytes(), POINTS, CONFIGURATION)
    both = compare(world, flips(MACHINE.keys.pck.tbs_certificate_bytes, 11, unread), make)
    assert both > 5


def test_the_certificate_of_its_ca(world: tuple[DcapChain, bytes, bytes]) -> None:
    pck = der_of(MACHINE.keys.pck)

    def make(inner: bytes) -> tuple[bytes, Endorsements]:
        authority = signed(inner, MACHINE.keys.root_key)
        chain = (pem_of(authority) + pem_of(MACHINE.root)).decode()
        return with_chain(pck, authority), with_fields(pck_crl_issuer_chain=chain)

    inner = MACHINE.keys.pck_ca.tbs_certificate_bytes
    both = compare(world, flips(inner, 5, [identifiers(inner)]), make)
    assert both > 2


def test_the_certificate_of_the_signer(world: tuple[DcapChain, bytes, bytes]) -> None:
    def make(inner: bytes) -> tuple[bytes, Endorsements]:
        chain = (pem_of(signed(inner, MACHINE.keys.root_key)) + pem_of(MACHINE.root)).decode()
        return QUOTE, with_fields(tcb_info_issuer_chain=chain)

    inner = MACHINE.keys.tcb_signing.tbs_certificate_bytes
    unread = (MACHINE.keys.tcb_signing.subject.public_bytes(), identifiers(inner))
    both = compare(world, flips(inner, 5, unread), make)
    assert both > 2


def test_a_revocation_list(world: tuple[DcapChain, bytes, bytes]) -> None:
    inner = x509.load_der_x509_crl(LIST).tbs_certlist_bytes

    def make(changed: bytes) -> tuple[bytes, Endorsements]:
        return QUOTE, with_fields(pck_crl=signed(changed, MACHINE.keys.pck_ca_key).hex())

    # The reason of an entry and the list's number: every entry is revoked, and lists go by their time.
    unread = (bytes.fromhex("0a0101"), bytes.fromhex("020101"))
    both = compare(world, flips(inner, 2, unread), make)
    assert both > 2


@pytest.mark.parametrize("name", ["tcb_info", "qe_identity"])
def test_a_document(world: tuple[DcapChain, bytes, bytes], name: str) -> None:
    text = MACHINE.fields(PLATFORM)[name].encode()

    def variants() -> Iterator[bytes]:
        yield from (each for each in flips(text, max(2, len(text) // 40)) if each.isascii())
        digits = [place for place in range(len(text)) if text[place : place + 1].isdigit()]
        for place in digits[:: max(1, len(digits) // 60)]:
            yield text[:place] + (b"1" if text[place : place + 1] == b"0" else b"0") + text[place + 1 :]

    def make(changed: bytes) -> tuple[bytes, Endorsements]:
        return QUOTE, with_fields(**MACHINE.sign_text(name, changed.decode()))

    both = compare(world, variants(), make)
    assert both > 2


def test_the_lists_are_of_the_same_day() -> None:
    """The machine's list is no older than its documents: the comparison is of the reading, not of the dates."""
    assert x509.load_der_x509_crl(LIST).last_update_utc.timestamp() == ISSUED
