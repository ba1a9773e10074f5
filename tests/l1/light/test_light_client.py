"""The light client: what makes a header final, and every way in which one does not become so."""

from __future__ import annotations

from typing import Any

import pytest
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st
from light_headers import CHAIN, CHANGES, NO_HEADERS, NOW, PARAMETERS, header, set_of, signed

from l1.consensus.certificate import certify
from l1.consensus.machine import Topic
from l1.consensus.messages import Vote, domain_of
from l1.light.client import UNBONDING_SECONDS, Checkpoint, LightClient, NotFinal
from l1.nodes.keys import DelegateKeys, derive

OLD, NEW = derive(b"o" * 32, 4), derive(b"n" * 32, 5)
GENESIS = header(0, set_of(OLD).root())
GENESIS_HASH = bytes(keccak(GENESIS))
DOMAIN = domain_of(CHAIN, GENESIS_HASH)


def certified(
    block: bytes,
    keys: tuple[DelegateKeys, ...] = OLD,
    voters: tuple[int, ...] = (0, 1, 2),
    domain: bytes = DOMAIN,
    **changes: Any,
) -> bytes:
    """The footer that these delegates give a header; `changes` to what they sign."""
    return signed(block, keys, voters, domain, **changes)


def client(now: int = NOW) -> LightClient:
    return LightClient(Checkpoint(CHAIN, GENESIS_HASH, GENESIS, set_of(OLD)), PARAMETERS, now)


def refused(header_: bytes, footer_: bytes, follower: LightClient | None = None) -> str:
    with pytest.raises(NotFinal) as error:
        (follower or client()).require_final(header_, footer_)
    return error.value.reason


def test_a_certified_header_is_final() -> None:
    block = header(7, set_of(OLD).root())
    assert client().require_final(block, certified(block)).number == 7


def test_the_set_changes_at_the_end_of_an_epoch() -> None:
    """A client that is shown the last header of an epoch follows the set that it names, and no other."""
    last, first = header(10, set_of(NEW).root()), header(11, set_of(NEW).root())
    follower = client()
    assert refused(first, certified(first, NEW, (0, 1, 2, 3)), follower) == "epoch"
    with pytest.raises(NotFinal) as wrong:
        follower.advance(last, certified(last), set_of(OLD))
    assert wrong.value.reason == "set"
    follower.advance(last, certified(last), set_of(NEW))
    assert refused(first, certified(first, OLD), follower) == "power"
    assert refused(first, certified(first, OLD, (0, 1, 2, 3)), follower) == "signature"
    assert follower.require_final(first, certified(first, NEW, (0, 1, 2, 3))).number == 11
    beyond = header(21, set_of(NEW).root())
    assert refused(beyond, certified(beyond, NEW, (0, 1, 2, 3)), follower) == "epoch"


def test_a_client_that_refused_stays_where_it_is() -> None:
    follower = client()
    block = header(10, set_of(NEW).root())
    with pytest.raises(NotFinal):
        follower.advance(block, certified(block))
    assert (follower.head.number, follower.delegates) == (0, set_of(OLD))


@pytest.mark.parametrize("power", [(1, 1, 1, 1), (2, 2, 2, 3), (10**24, 10**24, 10**24, 10**24)])
def test_two_thirds_exactly_are_not_enough(power: tuple[int, ...]) -> None:
    """The signers must have strictly more than two thirds (IIP-51)."""
    delegates = set_of(OLD, power)
    genesis = header(0, delegates.root())
    checkpoint = Checkpoint(CHAIN, bytes(keccak(genesis)), genesis, delegates)
    follower = LightClient(checkpoint, PARAMETERS, NOW)
    domain = domain_of(CHAIN, checkpoint.genesis_hash)
    block = header(3, delegates.root())
    for voters in [(0,), (0, 1), (0, 1, 2), (1, 2, 3), (0, 1, 2, 3)]:
        enough = 3 * sum(power[each] for each in voters) > 2 * sum(power)
        given_ = certified(block, voters=voters, domain=domain)
        if enough:
            follower.require_final(block, given_)
        else:
            assert refused(block, given_, follower) == "power"


@pytest.mark.parametrize(
    ("changes", "domain"),
    [
        ({"topic": Topic.LOCK}, DOMAIN),
        ({"topic": Topic.PROPOSAL}, DOMAIN),
        ({"height": 8}, DOMAIN),
        ({"block_hash": bytes(32)}, DOMAIN),
        ({}, domain_of(CHAIN + 1, GENESIS_HASH)),
        ({}, domain_of(CHAIN, bytes(32))),
    ],
)
def test_a_signature_on_something_else_is_refused(changes: dict[str, Any], domain: bytes) -> None:
    """Another topic, height, block or chain: what was signed there counts for nothing here."""
    block = header(7, set_of(OLD).root())
    assert refused(block, certified(block, domain=domain, **changes)) == "signature"


@pytest.mark.parametrize(("change", "reason"), CHANGES)
def test_a_changed_footer_is_refused(change: Any, reason: str) -> None:
    block = header(7, set_of(OLD).root())
    assert refused(block, change(certified(block))) == reason


def test_votes_of_two_rounds_make_no_certificate() -> None:
    """Their sum would verify under no digest; `certify` refuses to make it."""
    delegates, block = set_of(OLD), bytes(range(32))
    votes = [Vote(7, round_, Topic.COMMIT, block, index, b"") for index, round_ in enumerate([0, 0, 1])]
    with pytest.raises(ValueError, match="one height, round"):
        certify(votes, delegates)


def test_what_is_behind_the_client_is_refused() -> None:
    follower = client()
    block = header(7, set_of(OLD).root())
    follower.advance(block, certified(block))
    for number in (0, 6, 7):
        earlier = header(number, set_of(OLD).root())
        assert refused(earlier, certified(earlier), follower) == "old"


def test_a_checkpoint_older_than_the_unbonding_time_is_refused() -> None:
    """Whoever left may sign another history with his old key at no cost; the genesis alone stays."""
    block = header(5, set_of(OLD).root(), timestamp=NOW)
    checkpoint = Checkpoint(CHAIN, GENESIS_HASH, block, set_of(OLD))
    LightClient(checkpoint, PARAMETERS, NOW + UNBONDING_SECONDS - 1)
    with pytest.raises(NotFinal) as error:
        LightClient(checkpoint, PARAMETERS, NOW + UNBONDING_SECONDS)
    assert error.value.reason == "stale"
    client(now=NOW + 100 * UNBONDING_SECONDS)


def test_a_checkpoint_with_other_delegates_is_refused() -> None:
    with pytest.raises(NotFinal) as error:
        LightClient(Checkpoint(CHAIN, GENESIS_HASH, GENESIS, set_of(NEW)), PARAMETERS, NOW)
    assert error.value.reason == "set"
    with pytest.raises(NotFinal) as error:
        LightClient(Checkpoint(CHAIN, bytes(32), GENESIS, set_of(OLD)), PARAMETERS, NOW)
    assert error.value.reason == "header"


@pytest.mark.parametrize("raw", NO_HEADERS)
def test_bytes_that_are_no_header_are_refused(raw: bytes) -> None:
    assert refused(raw, b"") == "header"


@given(st.binary(max_size=700), st.binary(max_size=300))
def test_strange_bytes_are_refused_with_a_reason(raw: bytes, footer_: bytes) -> None:
    with pytest.raises(NotFinal):
        client().require_final(raw, footer_)
