"""CommitteeAttestation: enough different members signed exactly this, for this contract on this chain."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account.signers.local import LocalAccount

from tests.contracts.tee_host import Host
from tests.contracts.tee_world import ARTIFACT, KIND, ORDER, Committee, members, pack
from tests.contracts.world import address
from verifier import bindings as b
from verifier.attestation.committee import Appraised
from verifier.errors import InvalidInput, Refused

CHAIN, NOW = 77, 1_800_000_000
CALLER = bytes(range(64))
UNTIL = NOW + 100


@pytest.fixture(scope="module")
def host() -> Host:
    return Host(CHAIN, NOW)


@pytest.fixture(scope="module")
def committee(host: Host) -> Committee:
    """Two of three."""
    seats = members(3)
    adapter = host.deploy("CommitteeAttestation", KIND, False, [address(each) for each in seats], 2)
    return Committee(CHAIN, "0x" + adapter.hex(), seats)


def ask(host: Host, committee: Committee, evidence: bytes) -> Any:
    call = b.encode_call("CommitteeAttestation", "appraise", evidence)
    return host.ask(call, bytes.fromhex(committee.contract[2:]))


def refused(host: Host, committee: Committee, evidence: bytes) -> tuple[str, bytes]:
    found = ask(host, committee, evidence)
    assert isinstance(found, b.Revert), "it was accepted"
    return found.name, found.args.get("field", b"").rstrip(b"\0")


def test_a_quorum_is_accepted(host: Host, committee: Committee) -> None:
    for signers in (committee.members[:2], committee.members[1:], committee.members):
        found = ask(host, committee, committee.evidence(CALLER, UNTIL, signers=signers, devices=bytes(32)))
        decoded = b.decode_result("CommitteeAttestation", "appraise", found)
        assert decoded == ((ARTIFACT, CALLER, bytes(32), UNTIL),)


def test_it_says_what_it_is(host: Host, committee: Committee) -> None:
    contract = bytes.fromhex(committee.contract[2:])
    assert host.read("CommitteeAttestation", "route", contract) == "committee"
    assert host.read("CommitteeAttestation", "kind", contract) == KIND
    assert host.read("CommitteeAttestation", "isSimulated", contract) is False


def test_too_few_or_the_same_twice_are_refused(host: Host, committee: Committee) -> None:
    first, second, third = committee.members
    cases: list[tuple[list[LocalAccount], bytes]] = [
        ([], b"threshold"),
        ([first], b"threshold"),
        ([first, first], b"order"),
        ([second, first], b"order"),
        ([first, third, third], b"order"),
    ]
    for signers, field in cases:
        evidence = committee.evidence(CALLER, UNTIL, signers=signers)
        assert refused(host, committee, evidence) == ("EvidenceRefused", field)


def test_a_stranger_counts_for_nothing(host: Host, committee: Committee) -> None:
    (stranger,) = members(1, "stranger")
    signers = sorted([committee.members[0], stranger], key=address)
    evidence = committee.evidence(CALLER, UNTIL, signers=signers)
    assert refused(host, committee, evidence) == ("EvidenceRefused", b"member")


@pytest.mark.parametrize(
    "change",
    [
        {"chain_id": CHAIN + 1},
        {"contract": "0x" + "11" * 20},
        {"kind": "tee.tdx"},
        {"simulated": True},
    ],
    ids=str,
)
def test_a_signature_for_anything_else_counts_for_nothing(
    host: Host, committee: Committee, change: dict[str, Any]
) -> None:
    evidence = committee.evidence(CALLER, UNTIL, **change)
    assert refused(host, committee, evidence) == ("EvidenceRefused", b"member")


@pytest.mark.parametrize("place", range(4))
def test_a_signature_serves_no_other_appraisal(host: Host, committee: Committee, place: int) -> None:
    signed: list[Any] = [ARTIFACT, CALLER, b"", UNTIL]
    others: list[Any] = [bytes(32), CALLER[:-1] + b"\0", bytes(32), UNTIL + 1]
    message = committee.message(*signed)
    made = [each.sign_message(message).signature for each in committee.members[:2]]
    signed[place] = others[place]
    artifact, caller, devices, until = signed
    assert refused(host, committee, pack(artifact, caller, devices, until, made)) == ("EvidenceRefused", b"member")


def test_another_spelling_of_a_signature_is_refused(host: Host, committee: Committee) -> None:
    message = committee.message(ARTIFACT, CALLER, b"", UNTIL)
    first, second = (bytes(each.sign_message(message).signature) for each in committee.members[:2])
    high = (ORDER - int.from_bytes(second[32:64], "big")).to_bytes(32, "big")
    for bad in (second[:32] + high + bytes((55 - second[64],)), second[:64], second[:64] + b"\0", b"", bytes(65)):
        evidence = pack(ARTIFACT, CALLER, b"", UNTIL, [first, bad])
        assert refused(host, committee, evidence) == ("MalformedEvidence", b"signature")


def test_an_appraisal_ends(host: Host, committee: Committee) -> None:
    assert refused(host, committee, committee.evidence(CALLER, NOW - 1)) == ("EvidenceRefused", b"validUntil")
    assert refused(host, committee, committee.evidence(CALLER, 0)) == ("EvidenceRefused", b"validUntil")
    assert isinstance(ask(host, committee, committee.evidence(CALLER, NOW)), bytes)


def test_truncated_evidence_is_refused(host: Host, committee: Committee) -> None:
    evidence = committee.evidence(CALLER, UNTIL)
    for size in range(0, len(evidence) - 31, 31):
        assert isinstance(ask(host, committee, evidence[:size]), b.Revert)


@pytest.mark.parametrize(
    ("seats", "threshold"),
    [
        ([], 0),
        ([], 1),
        ([b"\1" * 20], 0),
        ([b"\1" * 20], 2),
        ([b"\1" * 20, b"\1" * 20], 1),
        ([b"\2" * 20, b"\1" * 20], 1),
        ([bytes(20)], 1),
        ([bytes(19) + bytes((i + 1,)) for i in range(65)], 2),
    ],
)
def test_no_other_committee_is_deployed(host: Host, seats: list[bytes], threshold: int) -> None:
    with pytest.raises(AssertionError, match="InvalidCommittee"):
        host.deploy("CommitteeAttestation", KIND, False, seats, threshold)


def test_members_sign_what_the_library_says(host: Host, committee: Committee) -> None:
    """A wallet's EIP-712, ours and the contract's are one; signatures come in any order, and twice."""
    contract = bytes.fromhex(committee.contract[2:])
    appraised = Appraised(KIND, ARTIFACT, CALLER, UNTIL, simulated=False, devices=bytes(32))
    digest = appraised.digest(CHAIN, contract)
    values = (ARTIFACT, CALLER, bytes(32), UNTIL)
    assert host.read("CommitteeAttestation", "digestOf", contract, values) == digest
    message = committee.message(*values)
    first, second, third = (bytes(each.sign_message(message).signature) for each in committee.members)
    evidence = appraised.evidence(CHAIN, contract, [third, first, second, first])
    assert evidence == pack(*values, [first, second, third])
    assert isinstance(ask(host, committee, evidence), bytes)
    with pytest.raises(Refused) as caught:
        appraised.evidence(CHAIN, contract, [first[:64]])
    assert caught.value.code == "W3B-9106"


@pytest.mark.parametrize(
    "change",
    [{"artifact": bytes(31)}, {"caller_data": bytes(63)}, {"devices": bytes(33)}, {"valid_until": 0}],
    ids=str,
)
def test_a_member_says_nothing_malformed(change: dict[str, Any]) -> None:
    good: dict[str, Any] = {"artifact": ARTIFACT, "caller_data": CALLER, "valid_until": UNTIL}
    with pytest.raises(InvalidInput) as caught:
        Appraised(KIND, simulated=False, **(good | change))
    assert (caught.value.code, caught.value.field) == ("W3B-9101", next(iter(change)))
