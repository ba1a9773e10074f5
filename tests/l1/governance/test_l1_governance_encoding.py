"""Ids, call data, logs and state read back are those of the contract."""

from __future__ import annotations

from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import pytest
from eth_abi.abi import encode
from eth_account.signers.local import LocalAccount
from eth_hash.auto import keccak
from governance_world import CHAIN_ID, QUICK, VOTERS, Solidity, World, address, policy, technical
from hypothesis import given, settings
from hypothesis import strategies as st

from l1.contracts.abi import Decoded
from l1.governance import contract as c
from l1.governance.model import Advance, Execute, Submit, Vote, decode_operation
from l1.governance.parameters import Parameters, solidity_name
from l1.governance.proposals import Call, Draft, Kind, ProposalRecord, calls_hash, proposal_id
from l1.governance.states import BY_CLOCK, BY_ID, State, Step

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "governance.md"
hashes = st.binary(min_size=32, max_size=32)
calls = st.builds(
    Call,
    target=st.binary(min_size=20, max_size=20),
    data=st.binary(max_size=70),
    value=st.integers(0, 2**256 - 1),
)
drafts = st.builds(
    Draft,
    kind=st.sampled_from(Kind),
    text=st.text(st.characters(codec="utf-8"), min_size=1, max_size=40),
    document_hash=hashes,
    uri=st.text(st.characters(codec="utf-8"), min_size=1, max_size=40),
    artifact_hash=hashes,
    calls=st.lists(calls, max_size=3).map(tuple),
    salt=hashes,
)


@pytest.fixture(scope="module")
def quiet(solidity: Solidity) -> World:
    """A world of which tests only ask."""
    return World(solidity)


@settings(deadline=None)
@given(draft=drafts, proposer=st.binary(min_size=20, max_size=20))
def test_id_is_the_contracts(quiet: World, draft: Draft, proposer: bytes) -> None:
    expected = proposal_id(CHAIN_ID, quiet.governance, proposer, draft)
    assert quiet.reader.proposal_id(proposer, draft) == expected


@given(draft=drafts, identity=hashes, yes=st.booleans(), step=st.sampled_from(BY_ID), tail=st.binary(max_size=99))
def test_operations_are_read_back(draft: Draft, identity: bytes, yes: bool, step: Step, tail: bytes) -> None:
    assert decode_operation(c.submit(draft)) == Submit(draft)
    assert decode_operation(c.vote(identity, yes)) == Vote(identity, yes)
    assert decode_operation(c.execute(identity, draft.calls)) == Execute(identity, draft.calls)
    assert decode_operation(c.advance(step, identity)) == Advance(step, identity)
    assert decode_operation(c.set_parameters(QUICK)) is None
    assert decode_operation(tail) is None


@given(one=drafts, two=drafts)
def test_ids_differ_with_anything(one: Draft, two: Draft) -> None:
    where = b"\x01" * 20
    ids = {
        proposal_id(1, where, where, one),
        proposal_id(2, where, where, one),
        proposal_id(1, b"\x02" * 20, where, one),
        proposal_id(1, where, b"\x02" * 20, one),
        proposal_id(1, where, where, two),
    }
    assert len(ids) == (4 if one == two else 5)


@settings(max_examples=40, deadline=None)
@given(draft=drafts, sender=st.sampled_from(VOTERS[:3]))
def test_submitted_draft_is_found_in_the_log(solidity: Solidity, draft: Draft, sender: LocalAccount) -> None:
    world = World(solidity)
    world.set_weights(400, 300, 200)
    made = Draft(
        draft.kind,
        draft.text,
        draft.document_hash[:-1] + b"\x01",
        draft.uri,
        draft.artifact_hash[:-1] + b"\x01" if draft.kind is Kind.TECHNICAL else bytes(32),
        (draft.calls or (Call(bytes(20)),)) if draft.kind is Kind.TECHNICAL else (),
        draft.salt,
    )
    snapshot = world.chain.head_number
    receipt = world.send(sender, c.submit(made))
    _, topics, data = receipt.logs[0]
    found = c.decode_submission(topics, data)
    proposer = address(sender)
    identity = proposal_id(CHAIN_ID, world.governance, proposer, made)
    assert found == c.Submission(identity, proposer, snapshot, 90, made)
    assert c.decode_submission(*receipt.logs[1][1:]) is None
    record = world.reader.proposal(identity)
    assert record == ProposalRecord(
        proposer=proposer,
        kind=made.kind,
        state=State.IDEA,
        window_start=world.now,
        window_end=world.now + QUICK.support_period,
        support_snapshot=snapshot,
        support_needed=90,
        document_hash=made.document_hash,
        artifact_hash=made.artifact_hash,
        calls_hash=calls_hash(made.calls),
    )


def test_text_that_is_no_utf8_hides_no_proposal(world: World) -> None:
    draft = policy(text="TEXT", uri="PLACE")
    data = c.submit(draft).replace(b"TEXT", b"\xff\xfe\x80a").replace(b"PLACE", b"\xc3(\xa0\xa1b")
    receipt = world.send(VOTERS[0], data)
    found = c.decode_submission(*receipt.logs[0][1:])
    assert found is not None
    assert world.reader.proposal_ids() == [found.proposal]
    assert (found.draft.text, found.draft.uri) == ("\ufffd\ufffd\ufffda", "\ufffd(\ufffd\ufffdb")
    assert found.draft.document_hash == draft.document_hash
    assert isinstance(decode_operation(data), Submit)


def test_draft_of_an_unknown_kind_is_no_operation() -> None:
    data = bytearray(c.submit(policy()))
    data[4 + 63] = 2
    assert decode_operation(bytes(data)) is None


def test_events_of_a_whole_life(world: World) -> None:
    """Every change of state is an event, each with the state before it."""
    ledger = world.create("Ledger")
    draft = technical(Call(ledger, world.data("Ledger", "add", 3)))
    proposal, seen = world.idea(draft), []
    world.chain.rollback(world.chain.head_number - 1)

    def take(sender: int, data: bytes) -> None:
        seen.extend(world.send(VOTERS[sender], data).events)

    take(0, c.submit(draft))
    take(0, c.advance(Step.SUPPORT, proposal))
    world.now += QUICK.voting_delay
    take(4, c.advance(Step.OPEN, proposal))
    take(0, c.vote(proposal, True))
    take(3, c.vote(proposal, False))
    world.now += QUICK.voting_period
    take(4, c.advance(Step.CLOSE, proposal))
    take(4, c.advance(Step.QUEUE, proposal))
    world.now += QUICK.time_lock
    take(4, c.execute(proposal, draft.calls))
    changes = [(each.args["from"], each.args["to"]) for each in seen if each.name == "StateChanged"]
    way = [State(number) for number in (0, 1, 2, 3, 4, 6, 7)]
    assert changes == list(pairwise(way))
    last = [each for each in seen if each.name == "StateChanged"][-1]
    assert last.args == {"id": proposal, "from": 6, "to": 7, "windowStart": world.now, "windowEnd": world.now}
    rest = [(each.name, each.args) for each in seen if each.name not in ("StateChanged", "ProposalSubmitted")]
    assert rest == [
        ("Supported", {"id": proposal, "voter": address(VOTERS[0]), "weight": 400, "support": 400}),
        (
            "VotingOpened",
            {"id": proposal, "voteSnapshot": rest[1][1]["voteSnapshot"], "turnoutNeeded": 200, "majorityBps": 5_000},
        ),
        ("Voted", {"id": proposal, "voter": address(VOTERS[0]), "yes": True, "weight": 400}),
        ("Voted", {"id": proposal, "voter": address(VOTERS[3]), "yes": False, "weight": 100}),
        ("CallExecuted", {"id": proposal, "index": 0, "target": ledger, "value": 0}),
    ]


def test_gas_that_the_page_promises(world: World) -> None:
    """What each step costs at most, in a world where every slot that can be empty is."""
    page = PAGE.read_text()
    (deployed,) = world.block((VOTERS[0], None, c.creation_code(world.stake, 10, QUICK), 0))
    ledger = world.create("Ledger")
    draft = technical(*[Call(ledger, world.data("Ledger", "add", 1))] * 3)
    submitted = world.send(VOTERS[0], c.submit(draft))
    proposal = submitted.events[0].args["id"]
    costs = {"deployment": deployed.gas, "submit, three calls": submitted.gas}
    costs["support"] = world.advance(Step.SUPPORT, proposal).gas
    world.now += QUICK.voting_delay
    costs["open"] = world.advance(Step.OPEN, proposal).gas
    costs["vote"] = max(world.send(voter, c.vote(proposal, voter in VOTERS[:2])).gas for voter in VOTERS[:4])
    world.now += QUICK.voting_period
    costs["close"] = world.advance(Step.CLOSE, proposal).gas
    costs["queue"] = world.advance(Step.QUEUE, proposal).gas
    world.now += QUICK.time_lock
    costs["execute, three calls"] = world.send(VOTERS[4], c.execute(proposal, draft.calls)).gas
    for step, gas in costs.items():
        promised = -(-gas // 10_000) * 10_000
        assert f"| {step} | {promised:,} |" in page, (step, gas)


def test_deployment_says_its_parameters(solidity: Solidity) -> None:
    world = World(solidity)
    code = c.creation_code(world.stake, 1, QUICK)
    (receipt,) = world.block((VOTERS[0], None, code, 0))
    ((_, topics, data),) = receipt.logs
    event = c.CONTRACT.decode_event(topics, data)
    assert event == Decoded("ParametersSet", {"parameters": QUICK.as_tuple()})
    assert c.GovernanceReader(receipt.created, world.eth_call).parameters() == QUICK


@settings(deadline=None)
@given(first=st.integers(0, 12), count=st.one_of(st.integers(0, 12), st.just(2**256 - 1)))
def test_pages_of_ids(seven: tuple[World, list[bytes]], first: int, count: int) -> None:
    world, ids = seven
    answer = world.eth_call(world.governance, c.CONTRACT.encode_call("proposalIds", first, count))
    (page,) = c.CONTRACT.decode_result("proposalIds", answer)
    assert list(page) == ids[first : first + count]


def test_reader_turns_pages(seven: tuple[World, list[bytes]], monkeypatch: pytest.MonkeyPatch) -> None:
    world, ids = seven
    monkeypatch.setattr(c, "PAGE", 3)
    assert world.reader.proposal_ids() == ids


@pytest.fixture(scope="module")
def seven(solidity: Solidity) -> tuple[World, list[bytes]]:
    """A world with seven ideas, and their ids."""
    world = World(solidity)
    world.set_weights(1)
    return world, [world.idea(policy(salt)) for salt in range(7)]


def test_names_and_numbers_are_the_contracts() -> None:
    """Order of the parameters, of the record and of the enums as the compiler has them."""
    entries = {each.get("name"): each for each in c.CONTRACT.document["abi"]}
    numbers = [part["name"] for part in entries["parameters"]["outputs"][0]["components"]]
    assert numbers == [solidity_name(field.name) for field in fields(Parameters)]
    record = [part["name"] for part in entries["proposalOf"]["outputs"][0]["components"]]
    assert record == [solidity_name(field.name) for field in fields(ProposalRecord)]
    draft = [part["name"] for part in entries["submit"]["inputs"][0]["components"]]
    assert draft == [solidity_name(field.name) for field in fields(Draft)]


def test_due_steps_are_numbered_as_the_contract_does(world: World) -> None:
    seen: set[Step | None] = set()
    for reach, wait in (("proposal", 50), ("voting", 40), ("ready", 0), ("idea", 100)):
        proposal = getattr(world, reach)(technical(Call(bytes(20)), salt=len(seen)))
        world.now += wait
        world.block()
        seen.add(world.reader.due_step(proposal))
    proposal = world.closed(policy(), True)
    seen.add(world.reader.due_step(proposal))
    assert seen == set(BY_CLOCK)
    assert world.reader.due_step(b"\x01" * 32) is None


def test_logs_of_others() -> None:
    topic = c.CONTRACT.event_topic("Voted")
    full = [topic, bytes(32), bytes(32)]
    assert c.CONTRACT.decode_event(full, encode(["bool", "uint128"], [True, 1])) is not None
    assert c.CONTRACT.decode_event([], b"") is None
    assert c.CONTRACT.decode_event([keccak(b"Transfer(address,address,uint256)")], bytes(32)) is None
    assert c.CONTRACT.decode_event(full[:2], bytes(64)) is None
    assert c.CONTRACT.decode_event(full, bytes(31)) is None
    assert c.decode_submission(full, bytes(64)) is None


@given(data=st.binary(max_size=200))
def test_reverts_of_others(data: bytes) -> None:
    """Nothing that a contract may answer breaks the decoder."""
    assert c.CONTRACT.decode_revert(data).name in ("", "Unknown")
    selector = keccak(b"UnknownProposal(bytes32)")[:4]
    expected = "UnknownProposal" if len(data) >= 32 else "Unknown"
    assert c.CONTRACT.decode_revert(selector + data).name == expected
    assert c.CONTRACT.decode_revert(keccak(b"Error(string)")[:4] + data).name in ("Error", "Unknown")


@given(data=st.binary(max_size=330))
def test_call_data_of_others(data: bytes) -> None:
    assert c.decode_set_parameters(data) is None
    assert c.decode_set_parameters(c.set_parameters(QUICK)[:-1]) is None
    assert c.decode_set_parameters(c.set_parameters(QUICK) + data) == QUICK


@pytest.mark.parametrize("step", [Step.SUBMIT, Step.VOTE, Step.EXECUTE])
def test_steps_that_take_more_than_an_id(step: Step) -> None:
    with pytest.raises(ValueError, match="takes more than an id"):
        c.advance(step, bytes(32))
    with pytest.raises(ValueError, match="takes more than an id"):
        Advance(step, bytes(32))
