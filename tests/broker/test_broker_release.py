"""Release: to the attested enclave that asks, once, for the programs that a secret names; everybody else is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from broker_requests import DOMAIN, NOW, Enclave
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from simulated_installations import MEASURED, OTHERS, installation

from coordinator.broker.broker import Broker, Trust
from coordinator.broker.vault import Secret
from provers.tee.measurement import Measured
from provers.tee.simulation.attester import attest
from verifier.attestation import passport
from verifier.attestation.anchors import VendorAnchors
from verifier.attestation.binding import register_key
from verifier.attestation.evidence import Platform
from verifier.attestation.identity import artifact, kind_of, tee_program_id
from verifier.attestation.policy import AppraisalPolicy
from verifier.attestation.registration import Attachment, Registration, appraise_registration
from verifier.errors import Refused, W3bstreamError
from verifier.statement import Domain

VERIFIER = Ed25519PrivateKey.generate()
SECRET = b"the key of the weather station's data"
PLATFORMS = (Platform.SGX, Platform.NITRO, Platform.NVIDIA_H100)


@cache
def attested(
    platform: Platform = Platform.SGX,
    number: int = 1,
    measured: Measured = MEASURED,
    domain: Domain = DOMAIN,
    site: int = 1,
) -> tuple[Enclave, Registration]:
    """An enclave whose session key is in simulated evidence."""
    attester = installation(site).attester(platform)
    found = artifact(attester.signer, attester.measurements(measured))
    enclave = Enclave(tee_program_id(kind_of(platform), found), number)
    made = attest(
        attester,
        measured,
        enclave.session.digest(domain),
        lambda devices: register_key(attester.signer, domain, enclave.session, devices),
        now=NOW,
    )
    devices = tuple(Attachment(each.evidence, each.endorsements) for each in made.devices)
    cpu = Attachment(made.evidence, made.endorsements)
    return enclave, Registration(kind_of(platform), enclave.session, cpu, devices)


@pytest.fixture
def broker(tmp_path: Path) -> Broker:
    """Believes the first installation's simulators and one verifier; its secrets are for every platform's program."""
    trust = Trust(DOMAIN, installation(1).anchors(), AppraisalPolicy(), {"verifier-1": VERIFIER.public_key()})
    made = Broker(tmp_path, trust)
    programs = frozenset(attested(platform)[0].session.program_id for platform in PLATFORMS)
    made.vault.put(Secret("weather-key", SECRET, programs, allow_simulated=True))
    made.vault.put(Secret("for-silicon", SECRET, programs))
    made.vault.put(Secret("of-others", SECRET, frozenset({bytes(32)}), allow_simulated=True))
    return made


def by_passport(registration: Registration, *, issuer: str = "verifier-1", key: Ed25519PrivateKey = VERIFIER) -> str:
    result = appraise_registration(registration, DOMAIN, installation(1).anchors(), AppraisalPolicy(), at=NOW)
    return passport.issue(result, registration.key, DOMAIN, signer=key, issuer=issuer)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_an_attested_enclave_gets_the_secret_and_can_read_it(broker: Broker, platform: Platform) -> None:
    enclave, registration = attested(platform)
    request = enclave.request(broker.challenge(NOW))
    sealed = broker.release_by_evidence(request, registration, NOW)
    assert SECRET not in sealed
    assert enclave.sealing.open(sealed, request.info(DOMAIN)) == SECRET
    (entry,) = broker.journal.entries()
    assert (entry.secret, entry.model, entry.anchor, entry.code) == ("weather-key", "background-check", "simulated", "")
    assert entry.program_id == "0x" + enclave.session.program_id.hex()


def test_a_passport_is_as_good(broker: Broker) -> None:
    enclave, registration = attested()
    request = enclave.request(broker.challenge(NOW))
    sealed = broker.release_by_passport(request, by_passport(registration), NOW)
    assert enclave.sealing.open(sealed, request.info(DOMAIN)) == SECRET
    assert broker.journal.entries()[0].model == "passport"


def refused(broker: Broker, code: str, ask: Callable[[], bytes]) -> None:
    with pytest.raises(W3bstreamError) as error:
        ask()
    assert error.value.code == code
    newest = broker.journal.entries(1)[0]
    assert newest.code == code, "a refusal is written down"
    assert SECRET.decode() not in newest.reason


def test_a_request_is_answered_once(broker: Broker) -> None:
    enclave, registration = attested()
    request = enclave.request(broker.challenge(NOW))
    broker.release_by_evidence(request, registration, NOW)
    refused(broker, "W3B-9122", lambda: broker.release_by_evidence(request, registration, NOW))
    refused(broker, "W3B-9122", lambda: broker.release_by_passport(request, by_passport(registration), NOW))


def test_a_nonce_of_nobody_or_of_long_ago(broker: Broker) -> None:
    enclave, registration = attested()
    refused(broker, "W3B-9122", lambda: broker.release_by_evidence(enclave.request(bytes(32)), registration, NOW))
    request = enclave.request(broker.challenge(NOW - 3600))
    refused(broker, "W3B-9122", lambda: broker.release_by_evidence(request, registration, NOW))


def test_who_saw_a_request_cannot_have_the_answer_sent_to_himself(broker: Broker) -> None:
    enclave, registration = attested()
    request = enclave.request(broker.challenge(NOW))
    thief = Enclave(enclave.session.program_id, 7)
    moved = replace(request, sealing_key=thief.sealing.public)
    refused(broker, "W3B-9123", lambda: broker.release_by_evidence(moved, registration, NOW))
    refused(broker, "W3B-9123", lambda: broker.release_by_evidence(thief.signed(moved), registration, NOW))


def test_another_enclaves_evidence_or_passport(broker: Broker) -> None:
    (enclave, _), (_, other) = attested(), attested(number=2)
    request = enclave.request(broker.challenge(NOW))
    refused(broker, "W3B-4012", lambda: broker.release_by_evidence(request, other, NOW))
    refused(broker, "W3B-9124", lambda: broker.release_by_passport(request, by_passport(other), NOW))
    forged = replace(other, key=enclave.session)
    refused(broker, "W3B-9112", lambda: broker.release_by_evidence(request, forged, NOW))


@pytest.mark.parametrize("measured", OTHERS)
def test_another_program(broker: Broker, measured: Measured) -> None:
    enclave, registration = attested(measured=measured)
    request = enclave.request(broker.challenge(NOW))
    refused(broker, "W3B-9126", lambda: broker.release_by_evidence(request, registration, NOW))
    # It claims to be the program that the secret is for, in evidence that measured another.
    liar, _ = attested()
    lie = replace(registration, key=liar.session)
    asked = liar.request(broker.challenge(NOW))
    with pytest.raises(Refused) as error:
        broker.release_by_evidence(asked, lie, NOW)
    assert error.value.code in ("W3B-4012", "W3B-9112")


def test_secrets_of_others_and_secrets_that_are_not_there_look_the_same(broker: Broker) -> None:
    enclave, registration = attested()
    said = []
    for name in ("of-others", "not-there"):
        request = enclave.request(broker.challenge(NOW), name)
        refused(broker, "W3B-9126", lambda request=request: broker.release_by_evidence(request, registration, NOW))  # type: ignore[misc]
        said.append(broker.journal.entries(1)[0].reason.replace(name, "NAME"))
    assert said[0] == said[1]


def test_simulated_enclaves_get_nothing_that_is_for_silicon(broker: Broker) -> None:
    enclave, registration = attested()
    for ask in (
        lambda request: broker.release_by_evidence(request, registration, NOW),
        lambda request: broker.release_by_passport(request, by_passport(registration), NOW),
    ):
        request = enclave.request(broker.challenge(NOW), "for-silicon")
        refused(broker, "W3B-9114", lambda request=request, ask=ask: ask(request))  # type: ignore[misc]


def test_vendors_anchors_and_another_installations_refuse_simulated_evidence(broker: Broker, tmp_path: Path) -> None:
    enclave, registration = attested()
    strange = attested(site=2)
    for at, (trust, (asker, evidence)) in enumerate(
        [
            (Trust(DOMAIN, VendorAnchors(), AppraisalPolicy()), (enclave, registration)),
            (Trust(DOMAIN, installation(1).anchors(), AppraisalPolicy()), strange),
        ]
    ):
        other = Broker(tmp_path / str(at), trust)
        other.vault.put(Secret("weather-key", SECRET, frozenset({asker.session.program_id}), allow_simulated=True))
        request = asker.request(other.challenge(NOW))
        refused(other, "W3B-9107", lambda r=request, o=other, e=evidence: o.release_by_evidence(r, e, NOW))  # type: ignore[misc]


def test_another_chain_or_router(broker: Broker) -> None:
    elsewhere = Domain(DOMAIN.chain_id + 1, DOMAIN.router)
    enclave, registration = attested(domain=elsewhere)
    request = enclave.request(broker.challenge(NOW), domain=elsewhere)
    refused(broker, "W3B-9123", lambda: broker.release_by_evidence(request, registration, NOW))
    request = enclave.request(broker.challenge(NOW))
    refused(broker, "W3B-9112", lambda: broker.release_by_evidence(request, registration, NOW))


def test_an_expired_session_key(broker: Broker) -> None:
    enclave, registration = attested()
    late = enclave.session.expiry
    request = enclave.request(broker.challenge(late))
    refused(broker, "W3B-4015", lambda: broker.release_by_evidence(request, registration, late))


def test_passports_of_strangers_of_yesterday_and_spoiled_ones(broker: Broker) -> None:
    enclave, registration = attested()
    good = by_passport(registration)
    head, body, signature = good.split(".")
    spoiled = [
        by_passport(registration, issuer="verifier-2"),
        by_passport(registration, key=Ed25519PrivateKey.generate()),
        f"{head}.{body}.",
        f"{head}.{body[:-2]}.{signature}",
        f"{head}.{body}.{signature[:-4]}AAAA",
        f".{body}.{signature}",
        "",
        "a.b.c",
        good + "a" * 70_000,
    ]
    for text in spoiled:
        request = enclave.request(broker.challenge(NOW))
        refused(broker, "W3B-9124", lambda r=request, t=text: broker.release_by_passport(r, t, NOW))  # type: ignore[misc]
    later = NOW + 3600 - 1
    request = replace(enclave.request(broker.challenge(later)))
    assert broker.release_by_passport(request, good, later)
    fresh = replace(enclave.session, expiry=NOW + 90_000)
    with pytest.raises(Refused, match="W3B-9124"):
        passport.read(good, fresh, DOMAIN, issuers={"verifier-1": VERIFIER.public_key()}, at=NOW)
    with pytest.raises(Refused, match="W3B-9124"):
        passport.read(good, enclave.session, DOMAIN, issuers={"verifier-1": VERIFIER.public_key()}, at=NOW + 3600)


def test_no_passport_is_issued_for_evidence_with_findings() -> None:
    _, registration = attested()
    result = appraise_registration(registration, DOMAIN, VendorAnchors(), AppraisalPolicy(), at=NOW)
    with pytest.raises(Refused, match="W3B-9107"):
        passport.issue(result, registration.key, DOMAIN, signer=VERIFIER, issuer="verifier-1")
