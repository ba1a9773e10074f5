"""What is held of proposals and of quorums, whatever is sent: it is bounded, and nothing that is needed is let go."""

from __future__ import annotations

from consensus_world import EVENT, HEIGHT, certificate, certify, delegates, hash_of
from hypothesis import given
from hypothesis import strategies as st

from l1.consensus.log import Held, Proposed
from l1.consensus.machine import NIL, NO_ROUND, State, Topic
from l1.consensus.messages import Proposal, Vote
from l1.consensus.proposals import BLOCKS_AHEAD, MAX_PROPOSALS, Block, Proposals
from l1.consensus.quorums import ROUND_WINDOW, Quorums
from l1.consensus.schedule import proposer_index

FOUR = delegates(1, 1, 1, 1)
ROUNDS = st.integers(0, 2 * ROUND_WINDOW)
HASHES = st.sampled_from([bytes([at]) * 32 for at in range(1, 4)])


def proposal(round_: int, at: int = 0) -> Proposal:
    body = b"%d of round %d" % (at, round_)
    by = proposer_index(HEIGHT, round_, len(FOUR), EVENT)
    return Proposal(HEIGHT, round_, hash_of(body), by, NO_ROUND, None, body, b"signed")


@given(
    st.lists(st.tuples(st.integers(-ROUND_WINDOW, ROUND_WINDOW), st.integers(0, 6), st.integers(0, 3)), max_size=150)
)
def test_whatever_is_proposed_blocks_are_held_of_few_rounds(steps: list[tuple[int, int, int]]) -> None:
    """Each step proposes somewhere in the window, and goes on some rounds."""
    held = Proposals(HEIGHT, ())
    present = 0
    for beyond, at, further in steps:
        made = proposal(max(0, present + beyond), at)
        wanted = held.wants_block(made, present)
        kept = held.add(made, present, valid=True)
        assert len(held.of(made.round)) <= MAX_PROPOSALS
        assert kept == held.knows(made)
        assert all(each.block == b"" for each in held.of(made.round)), "a block is in one place"
        if kept and wanted:
            assert held.whole(made._replace(block=b"")) == made
            assert held.block(made.block_hash) == Block(made.block, valid=True)
        if further:
            present += further
            held.forget(present - ROUND_WINDOW, present, ())
            over = {each for each in held._rounds if each < present}
            assert len(held._blocks) <= len(over) + (1 + BLOCKS_AHEAD) * MAX_PROPOSALS
            assert all(present - ROUND_WINDOW <= each <= present + ROUND_WINDOW for each in held._rounds)


@given(st.lists(ROUNDS, max_size=30), st.sets(ROUNDS, max_size=5))
def test_blocks_that_are_wanted_stay(rounds: list[int], wanted: set[int]) -> None:
    """Whatever their rounds, and whether they were proposed or asked for."""
    held = Proposals(HEIGHT, ())
    for round_ in rounds:
        held.add(proposal(round_), 0, valid=True)
    for round_ in wanted:
        held.hold(proposal(round_).block_hash, proposal(round_).block, valid=False)
    before = {each: held.block(proposal(each).block_hash) for each in wanted}
    held.forget(10**6, 10**6 + ROUND_WINDOW, [proposal(each).block_hash for each in wanted])
    assert {each: held.block(proposal(each).block_hash) for each in wanted} == before
    assert len(held._blocks) == len(wanted)
    assert not held._rounds


def test_the_first_word_on_a_block_counts() -> None:
    held = Proposals(HEIGHT, ())
    held.hold(proposal(0).block_hash, proposal(0).block, valid=False)
    held.add(proposal(0), 0, valid=True)
    assert held.block(proposal(0).block_hash) == Block(proposal(0).block, valid=False)


def test_blocks_of_the_log_are_held_and_those_of_another_height_are_not() -> None:
    shown = certificate(FOUR, 0, Topic.PROPOSAL, proposal(0).block_hash)
    entries = (
        Held(HEIGHT, 0, proposal(0).block_hash, shown, proposal(0).block),
        Proposed(HEIGHT, 4, proposal(4).block_hash, NO_ROUND, proposal(4).block),
        Proposed(HEIGHT + 1, 8, proposal(8).block_hash, NO_ROUND, proposal(8).block),
    )
    held = Proposals(HEIGHT, entries)
    assert [held.block(proposal(at).block_hash) is not None for at in (0, 4, 8)] == [True, True, False]
    quorums = Quorums(HEIGHT, FOUR, certify, entries)
    assert quorums.on(Topic.PROPOSAL) == [(0, proposal(0).block_hash)]
    assert Quorums(HEIGHT + 1, FOUR, certify, entries).on(Topic.PROPOSAL) == []


VOTES = st.builds(Vote, st.just(HEIGHT), st.integers(0, 4), st.sampled_from(Topic), HASHES, st.integers(0, 3))
SHOWN = st.builds(
    lambda at, topic, block: certificate(FOUR, at, topic, block), st.integers(0, 4), st.sampled_from(Topic), HASHES
)


@given(st.lists(VOTES, max_size=60), st.lists(SHOWN, max_size=8))
def test_quorums_are_those_of_votes_and_else_those_that_were_shown(votes: list[Vote], shown: list) -> None:  # type: ignore[type-arg]
    """Against the tally and the first certificate of each place; each can be certified."""
    quorums = Quorums(HEIGHT, FOUR, certify, ())
    places = {}
    for each in shown:
        quorums.show(each, 0)
        places.setdefault((each.round, each.topic), each.block_hash)
    for vote in votes:
        quorums.tally.add(vote)
    for topic in Topic:
        expected = {at: block for (at, of), block in places.items() if of == topic}
        expected |= {at: quorums.tally.quorum(at, topic) for at in range(5) if quorums.tally.quorum(at, topic)}
        assert quorums.on(topic) == sorted(expected.items(), reverse=True)
        for at, block_hash in quorums.on(topic):
            made = quorums.certificate(at, topic, block_hash)
            assert made[1:4] == (at, topic, block_hash)
            assert FOUR.power_of(made.signer_indices()) >= FOUR.quorum
            if topic is not Topic.COMMIT:
                proof = quorums.proof(at, block_hash)
                assert proof is not None
                assert (proof.round, proof.block_hash) == (at, block_hash)


def test_what_is_forgotten_leaves_the_lock_its_newest_proof_and_what_is_decided() -> None:
    quorums = Quorums(HEIGHT, FOUR, certify, ())
    block_hash = proposal(0).block_hash
    for at in range(6):
        quorums.show(certificate(FOUR, at, Topic.PROPOSAL, block_hash), 0)
        quorums.show(certificate(FOUR, at, Topic.LOCK, block_hash), 0)
    quorums.show(certificate(FOUR, 1, Topic.COMMIT, block_hash), 0)
    for index in range(3):
        quorums.tally.add(Vote(HEIGHT, 6, Topic.PROPOSAL, block_hash, index))
    state = State(HEIGHT, locked_round=2, locked_hash=block_hash, valid_round=6, valid_hash=block_hash)
    quorums.forget(9, state)
    assert [at for at, _ in quorums.on(Topic.PROPOSAL)] == [6, 2]
    assert [at for at, _ in quorums.on(Topic.LOCK)] == [2]
    assert [at for at, _ in quorums.on(Topic.COMMIT)] == [1]
    assert not quorums.tally._ballots


def test_certificates_of_far_rounds_and_for_nothing_are_not_kept() -> None:
    quorums = Quorums(HEIGHT, FOUR, certify, ())
    for topic in Topic:
        quorums.show(certificate(FOUR, ROUND_WINDOW + 1, topic, proposal(0).block_hash), 0)
        quorums.show(certificate(FOUR, 0, topic, NIL), 0)
    assert [quorums.on(topic) for topic in Topic] == [[], [], [(ROUND_WINDOW + 1, proposal(0).block_hash)]]
