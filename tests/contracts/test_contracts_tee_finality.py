"""L1Attestation: what our L1 appraised, shown on another chain by a final receipt."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import pytest
import rlp
from eth_abi.abi import encode
from trie import HexaryTrie

from l1.consensus.messages import domain_of
from l1.nodes.keys import derive
from native import _native
from tests.contracts.tee_host import Host, require_documented
from tests.contracts.tee_world import ARTIFACT, Committee, Secret, members, second_half
from tests.contracts.world import address
from tests.l1.light.light_chain import creation, point_of
from tests.l1.light.light_headers import CHAIN, NOW, set_of, signed
from tests.l1.light.light_headers import PARAMETERS as SHORT
from verifier import bindings as b
from verifier.attestation import onchain
from verifier.attestation.identity import tee_program_id
from verifier.bindings import tee
from verifier.errors import InvalidInput
from verifier.finality_proof import FinalityProof
from verifier.statement import Domain

KIND = "tee.cca"
"""Proven by no contract on its own; here a committee on the L1 says it."""
OTHER_CHAIN = 7
PARAMETERS = dataclasses.replace(SHORT, blocks_per_epoch=1000)
KEYS = derive(b"f" * 32, 4)
DELEGATES = set_of(KEYS)
PROVER = b"\x22" * 20
EVIDENCE = ["bytes", "bytes", "bytes", "uint256", "bytes[]", "uint256"]


@dataclass
class Route:
    """The L1 with an adapter and a log; another chain with its light client and a verifier."""

    l1: Host
    log: bytes
    adapter: bytes
    committee: Committee
    other: Host
    client: bytes
    attestation: bytes
    verifier: bytes
    router: bytes

    @property
    def domain(self) -> Domain:
        return Domain(OTHER_CHAIN, self.router)

    def secret(self) -> Secret:
        return Secret.make(tee_program_id(KIND, ARTIFACT), PROVER, NOW + 500)

    def record(self, secret: Secret, adapter: bytes | None = None) -> _native.ExecutedBlock:
        """A block of the L1 in which evidence of the key is appraised."""
        digest, key = secret.key.digest(self.domain), secret.key
        evidence = self.committee.evidence(digest + second_half(key.public_key), NOW + 900)
        call = b.encode_call(
            "AttestationLog", "record", adapter or self.adapter, digest, key.public_key, key.nonce, evidence
        )
        return self.l1.do(call, self.log)

    def register(self, secret: Secret, evidence: bytes) -> bytes:
        return tee.register_session_key(secret.key, evidence)


def shown(block: _native.ExecutedBlock, *, voters: tuple[int, ...] = (0, 1, 3), **changes: Any) -> bytes:
    """The evidence that a block is, with its certificate."""
    trie = HexaryTrie({})
    for index, receipt in enumerate(block.receipts):
        logs: list[Any] = [[emitter, topics, data] for emitter, topics, data in receipt.logs]
        body = rlp.encode([int(receipt.status), receipt.cumulative_gas_used, receipt.logs_bloom, logs])
        trie[rlp.encode(index)] = bytes([receipt.type] * (receipt.type > 0)) + bytes(body)
    assert trie.root_hash == block.block.receipts_root
    header = block.block.header
    footer = signed(header, KEYS, voters, domain_of(CHAIN, bytes(32)))
    proof = [bytes(rlp.encode(node)) for node in trie.get_proof(rlp.encode(0))]
    values: dict[str, Any] = {
        "header": header,
        "footer": footer,
        "signature": point_of(footer),
        "index": 0,
        "proof": proof,
        "place": 0,
    }
    evidence = encode(EVIDENCE, list((values | changes).values()))
    assert changes or evidence == onchain.finality(FinalityProof(header, footer, 0, tuple(proof)), 0)
    return evidence


def test_a_footer_without_a_signature_is_no_evidence() -> None:
    with pytest.raises(InvalidInput) as caught:
        onchain.finality(FinalityProof(b"\xc0", bytes(101), 0, ()), 0)
    assert (caught.value.code, caught.value.field) == ("W3B-9101", "footer")


@pytest.fixture(scope="module")
def route() -> Route:
    l1 = Host(CHAIN, NOW, extra_data=DELEGATES.root())
    seats = members(3)
    adapter = l1.deploy("CommitteeAttestation", KIND, False, [address(each) for each in seats], 2)
    log = l1.deploy("AttestationLog")
    other = Host(OTHER_CHAIN, NOW)
    client = other.create(creation(PARAMETERS, CHAIN, bytes(32), DELEGATES))
    router = other.deploy("Router", bytes(20), bytes(20), False)
    attestation = other.deploy("L1Attestation", client, log, adapter, KIND, False)
    verifier = other.deploy("TeeVerifier", router, attestation, 1000)
    committee = Committee(CHAIN, "0x" + adapter.hex(), seats, KIND)
    return Route(l1, log, adapter, committee, other, client, attestation, verifier, router)


def test_a_key_is_registered_by_a_final_receipt(route: Route) -> None:
    made = route.secret()
    evidence = shown(route.record(made))
    block = route.other.do(route.register(made, evidence), route.verifier)
    told = [b.decode_event(topics, data) for _, topics, data in block.receipts[0].logs]
    assert [each.name for each in told if each] == ["SessionKeyRegistered"]
    require_documented("register, finality", block.block.gas_used)
    assert route.other.refusal(route.register(made, evidence), route.verifier).name == "NonceUsed"
    assert route.other.read("L1Attestation", "route", route.attestation) == "finality"


def test_the_log_takes_no_other_data(route: Route) -> None:
    made, other = route.secret(), route.secret()
    evidence = route.committee.evidence(made.key.digest(route.domain) + second_half(made.key.public_key), NOW + 900)
    for digest, key in (
        (bytes(32), made.key.public_key),
        (made.key.digest(route.domain), other.key.public_key),
        (made.key.digest(route.domain), b""),
    ):
        call = b.encode_call("AttestationLog", "record", route.adapter, digest, key, made.key.nonce, evidence)
        assert route.l1.refusal(call, route.log).name == "CallerDataMismatch"


def test_a_receipt_that_is_not_final_is_refused(route: Route) -> None:
    made = route.secret()
    block = route.record(made)
    few = route.register(made, shown(block, voters=(0, 1)))
    assert route.other.ask(few, route.verifier) != b""
    assert isinstance(route.other.ask(few, route.verifier), b.Revert)
    forged = route.register(made, shown(block, header=block.block.header[:-1] + b"\x01"))
    assert isinstance(route.other.ask(forged, route.verifier), b.Revert)
    assert isinstance(route.other.ask(route.register(made, shown(block)), route.verifier), bytes)


def test_a_receipt_registers_no_other_key(route: Route) -> None:
    made, other = route.secret(), route.secret()
    evidence = shown(route.record(made))
    assert route.other.refusal(route.register(other, evidence), route.verifier).name == "CallerDataMismatch"
    late = dataclasses.replace(made.key, expiry=made.key.expiry + 1)
    refused = route.other.refusal(tee.register_session_key(late, evidence), route.verifier)
    assert refused.name == "CallerDataMismatch"


def test_a_place_without_the_event_is_refused(route: Route) -> None:
    made = route.secret()
    call = route.register(made, shown(route.record(made), place=1))
    refused = route.other.refusal(call, route.verifier)
    assert (refused.name, refused.args["field"].rstrip(b"\0")) == ("MalformedEvidence", b"log")


def test_truncated_evidence_is_refused(route: Route) -> None:
    made = route.secret()
    evidence = shown(route.record(made))
    for size in (0, 31, 32, 320, len(evidence) // 2, len(evidence) - 33):
        assert isinstance(route.other.ask(route.register(made, evidence[:size]), route.verifier), b.Revert)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"log": b"\x33" * 20}, b"emitter"),
        ({"adapter": b"\x33" * 20}, b"adapter"),
        ({"kind": "tee.sgx"}, b"kind"),
        ({"simulated": True}, b"simulated"),
    ],
    ids=str,
)
def test_only_the_named_adapters_word_counts(route: Route, change: dict[str, Any], field: bytes) -> None:
    """A stranger's log, a stranger's adapter, another kind, or an adapter of the other sort of anchor."""
    made = route.secret()
    evidence = shown(route.record(made))
    values: dict[str, Any] = {
        "client": route.client,
        "log": route.log,
        "adapter": route.adapter,
        "kind": KIND,
        "simulated": False,
    }
    attestation = route.other.deploy("L1Attestation", *(values | change).values())
    call = b.encode_call("L1Attestation", "appraise", evidence)
    refused = route.other.refusal(call, attestation)
    assert (refused.name, refused.args["field"].rstrip(b"\0")) == ("EvidenceRefused", field)


def test_a_simulated_adapter_is_told_as_one(route: Route) -> None:
    """Whoever deploys the other chain's contract cannot call it a vendor's."""
    seats = route.committee.members
    adapter = route.l1.deploy("CommitteeAttestation", KIND, True, [address(each) for each in seats], 2)
    committee = Committee(CHAIN, "0x" + adapter.hex(), seats, KIND, simulated=True)
    theirs = dataclasses.replace(route, adapter=adapter, committee=committee)
    made = route.secret()
    evidence = shown(theirs.record(made))
    call = b.encode_call("L1Attestation", "appraise", evidence)
    vendor = route.other.deploy("L1Attestation", route.client, route.log, adapter, KIND, False)
    assert route.other.refusal(call, vendor).args["field"].rstrip(b"\0") == b"simulated"
    honest = route.other.deploy("L1Attestation", route.client, route.log, adapter, KIND, True)
    assert isinstance(route.other.ask(call, honest), bytes)
    assert route.other.read("L1Attestation", "isSimulated", honest) is True


def test_an_appraisal_ends_with_its_collateral(route: Route) -> None:
    made = route.secret()
    call = b.encode_call("L1Attestation", "appraise", shown(route.record(made)))
    later = Host(OTHER_CHAIN, NOW + 901)
    client = later.create(creation(PARAMETERS, CHAIN, bytes(32), DELEGATES))
    attestation = later.deploy("L1Attestation", client, route.log, route.adapter, KIND, False)
    assert later.refusal(call, attestation).args["field"].rstrip(b"\0") == b"validUntil"
