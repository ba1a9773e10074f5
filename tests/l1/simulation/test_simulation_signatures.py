"""Real signatures change nothing but the time a run takes, and each is checked once."""

from __future__ import annotations

import pytest

from l1.consensus.machine import Topic
from l1.consensus.messages import Vote
from l1.consensus.parameters import IIP_51
from l1.simulation.fault import ALL, Fault
from l1.simulation.network import Weather
from l1.simulation.plan import Plan, Wish, draw
from l1.simulation.signatures import Bls, Ledger, Scheme, delegates_of
from l1.simulation.world import World


@pytest.mark.parametrize("seed", [1, 3, 7, 18, 29])
def test_a_run_is_the_same_with_real_signatures(seed: int) -> None:
    """The ledger of who said what stands for BLS12-381: the same trace. (A proof of too few signers is refused before
    its block is kept where sums are checked, after it else; so forged proofs are left out.)"""
    wish = Wish(ALL - {Fault.FORGED_PROOFS}, delegates=4, heights=2, patience=12_000)
    signed, ledger = World(draw(seed, wish), signed=True).run(), World(draw(seed, wish)).run()
    assert signed.violations == ledger.violations == ()
    assert signed.trace == ledger.trace


@pytest.mark.parametrize("seed", [3, 18])
def test_certificates_of_too_few_are_refused_with_real_signatures(seed: int) -> None:
    """Byzantine delegates add up what they have; it shows nothing, and does no harm."""
    assert World(draw(seed, Wish(delegates=4)), signed=True).run().violations == ()


def test_each_distinct_signature_is_checked_once_and_in_batches() -> None:
    """24 delegates: of the votes that arrive, one check for those that say the same."""
    world = World(Plan(1, (100,) * 24, IIP_51, (Weather(0, 50, 50),), heights=2), signed=True)
    report = world.run()
    assert report.violations == ()
    assert isinstance(world.scheme, Bls)
    assert world.scheme.asked > 24 * 23 * 3 * (report.heights - 1)
    assert world.scheme.verified <= 5 * (report.heights + 1)


@pytest.mark.parametrize("scheme", [Ledger, Bls])
def test_a_vote_holds_only_as_it_was_signed(scheme: type[Ledger] | type[Bls]) -> None:
    """Another height, round, topic, block, delegate or chain is another vote; so it is in a batch with true ones."""
    four = delegates_of((100,) * 4, signed=True)
    made: Scheme = scheme(lambda height: four)
    votes = [made.sign_vote(Vote(5, 1, Topic.LOCK, bytes([7] * 32), index)) for index in range(4)]
    vote = votes[0]
    forged = [
        vote._replace(height=6),
        vote._replace(round=2),
        vote._replace(topic=Topic.COMMIT),
        vote._replace(block_hash=bytes(32)),
        vote._replace(delegate=9),
        made.of_other_chain(Vote(5, 1, Topic.LOCK, bytes([7] * 32), 2)),
        made.forged(Vote(5, 1, Topic.LOCK, bytes([7] * 32), 3), 1),
    ]
    for each in (*votes, *forged):
        made.sent(each)
    assert [made.vote_holds(each) for each in forged] == [False] * len(forged)
    assert [made.vote_holds(each) for each in votes] == [True] * 4
    assert not made.certificate_holds(made.certify(votes, four)._replace(round=2))
    assert made.certificate_holds(made.certify(votes, four))
