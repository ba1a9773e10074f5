"""Registration, the first poll and a conviction on anvil, an executor of others: nothing of ours is asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from staking_operations import SHORT
from staking_votes import evidence, proposal, vote
from staking_world import keys

from l1.consensus.messages import domain_of
from l1.staking.contract import CONTRACT, STAKING_ADDRESS, encode_call, encode_key, runtime_code
from l1.staking.evidence import EVIDENCE, EVIDENCE_ADDRESS, Evidence, encode_evidence, offence_id
from l1.staking.parameters import IOTX
from l1.staking.state import Poll, Seat
from l1.staking.system_calls import encode_poll
from tests.contracts.chain_client import Chain
from tests.contracts.conftest import _anvil

STAKE = 500_000 * IOTX


@pytest.fixture(scope="module")
def anvil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """A chain whose only producer is the funded account, with both contracts."""
    for chain in _anvil(tmp_path_factory.mktemp("anvil")):
        for address, code in ((STAKING_ADDRESS, runtime_code(SHORT)), (EVIDENCE_ADDRESS, EVIDENCE.deployed_code)):
            chain.rpc("anvil_setCode", "0x" + address.hex(), "0x" + code.hex())
        chain.rpc("anvil_setCoinbase", chain.funded.address)
        chain.rpc("anvil_setBalance", chain.funded.address, hex(10**27))
        yield chain


def ask(chain: Chain, name: str, *arguments: object) -> object:
    (found,) = EVIDENCE.decode_result(name, chain.read(EVIDENCE_ADDRESS, EVIDENCE.encode_call(name, *arguments)))
    return found


def refusal(chain: Chain, found: Evidence) -> str:
    call = {"to": "0x" + EVIDENCE_ADDRESS.hex(), "data": "0x" + encode_evidence(found).hex()}
    reply = chain.rpc("eth_call", call, "latest")
    return EVIDENCE.error_name(bytes.fromhex(reply["error"]["data"][2:])) if "error" in reply else ""


def test_anvil_convicts_alike(anvil: Chain) -> None:
    me = bytes.fromhex(anvil.funded.address[2:])
    point, proof = encode_key(keys(1).public, keys(1).possession)
    register = encode_call("register", me, me, point, proof, 91, True)
    anvil.send(anvil.funded, STAKING_ADDRESS, register, value=SHORT.registration_fee + STAKE)
    domain = domain_of(anvil.web3.eth.chain_id, bytes(anvil.web3.eth.get_block(0)["hash"]))

    while anvil.web3.eth.block_number < SHORT.poll_height(1) - 1:
        anvil.rpc("evm_mine")
    assert ask(anvil, "domain") == bytes(32)
    poll = Poll(2, (Seat(me, me, 5, keys(1).public),), ((me, 5),))
    anvil.send(anvil.funded, STAKING_ADDRESS, encode_poll(poll))
    assert ask(anvil, "domain") == domain

    votes = evidence(vote(domain), vote(domain, at=2))
    for wrong, reason in (
        (evidence(vote(domain), vote(domain)), "EvidenceAgrees"),
        (evidence(vote(domain), vote(domain, at=2, height=10)), "EvidenceNotOnePlace"),
        (evidence(vote(domain), vote(bytes(32), at=2)), "EvidenceUnsigned"),
        (evidence(vote(domain, 2), vote(domain, 2, 2), 2), "EvidenceOfStranger"),
        (votes, ""),
    ):
        assert refusal(anvil, wrong) == reason
    receipt = anvil.send(anvil.funded, EVIDENCE_ADDRESS, encode_evidence(votes))
    names = [
        found.name
        for log in receipt["logs"]
        for contract in (CONTRACT, EVIDENCE)
        if (found := contract.decode_event([bytes(each) for each in log["topics"]], bytes(log["data"])))
    ]
    assert names == ["EquivocationProven", "Slashed"]
    assert ask(anvil, "isPunished", offence_id(votes)) is True
    assert refusal(anvil, votes) == "EvidenceKnown"
    anvil.send(anvil.funded, EVIDENCE_ADDRESS, encode_evidence(evidence(proposal(domain), proposal(domain, at=2))))
    (seen,) = CONTRACT.decode_result("readCandidates", anvil.read(STAKING_ADDRESS, encode_call("readCandidates", 0, 1)))
    assert seen[0][2][6] == STAKE * 95 // 100 * 95 // 100
