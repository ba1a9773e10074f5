"""How the Solidity light client comes from set to set, and how long it is trusted; the Python one goes the same way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import rlp
from eth_hash.auto import keccak
from hypothesis import example, given, settings
from hypothesis import strategies as st
from light_chain import REASONS, Host, advance_call, creation, events, final_call, pack, point_of, refusal
from light_headers import CHAIN, NOW, PARAMETERS, header, set_of, signed
from light_world import KEYS, World, refused, world

from l1.consensus.delegates import DelegateSet, DelegateSetError
from l1.light.client import UNBONDING_SECONDS, Checkpoint, LightClient, NotFinal
from l1.nodes.keys import derive

SETS = [(4, 0), (5, 4), (9, 9)]
"""Sets of the next epochs: how many, and the first one's place in KEYS."""
STEP = st.tuples(st.integers(0, 11), st.integers(0, 2), st.integers(-1, 2), st.booleans())
"""Blocks ahead, the set that the header names, the set that is given (-1: none), whether all vote."""


@settings(max_examples=25, deadline=None)
@given(st.lists(STEP, min_size=1, max_size=6))
def test_both_clients_advance_alike(steps: list[tuple[int, int, int, bool]]) -> None:
    """A random walk over headers and sets: after every step both have the same head and the same set."""
    sets = [set_of(KEYS[first : first + count], (2,) * count) for count, first in SETS]
    keys_of = {each.root(): KEYS[first : first + count] for each, (count, first) in zip(sets, SETS, strict=True)}
    here = World(KEYS[:4], (2, 2, 2, 2))
    for ahead, named, offered, whole in steps:
        block = header(here.python.head.number + ahead, sets[named].root(), NOW + ahead)
        keys = keys_of[here.python.delegates.root()]
        voters = tuple(range(len(keys) if whole else len(keys) // 2))
        footer = signed(block, keys, voters, here.domain)
        given_ = None if offered < 0 else sets[offered]
        try:
            here.python.advance(block, footer, given_)
            expected = ""
        except NotFinal as error:
            expected = error.reason
        data = advance_call(block, footer, point_of(footer), pack(given_) if given_ else b"")
        found = here.contract.ask(data)
        assert REASONS.get(found, found) == expected
        if not expected:
            here.contract.do(data)
        assert here.contract.head()[0] == here.python.head.number
        known = here.python.delegates
        assert here.contract.delegates() == (known.root(), len(known), known.quorum)


# --- epochs and sets ---


def test_the_set_changes_at_the_end_of_an_epoch(four: World) -> None:
    other = set_of(KEYS[4:9])
    last, first = header(10, other.root()), header(11, other.root())
    contract = four.contract
    footer = signed(first, KEYS[4:9], (0, 1, 2, 3), four.domain)
    assert refused(contract, first, footer) == "EpochUnknown"
    certified = four.sign(last)
    changed = contract.do(advance_call(last, certified, point_of(certified), pack(other)))
    assert events(changed) == ["DelegateSetChanged", "HeadAdvanced"]
    assert refused(contract, first, footer) == ""
    assert refused(contract, last, certified) == "HeaderOld"
    same = header(15, other.root())
    certified = signed(same, KEYS[4:9], (0, 1, 2, 3), four.domain)
    assert events(contract.do(advance_call(same, certified, point_of(certified)))) == ["HeadAdvanced"]
    given_again = header(16, other.root())
    certified = signed(given_again, KEYS[4:9], (0, 1, 2, 3), four.domain)
    data = advance_call(given_again, certified, point_of(certified), pack(other))
    assert events(contract.do(data)) == ["HeadAdvanced"]


def test_only_the_named_set_is_taken(four: World) -> None:
    other = set_of(KEYS[4:9])
    block = header(10, other.root())
    footer = four.sign(block)
    point = point_of(footer)
    wrong = [b"", pack(four.delegates), pack(other)[160:], pack(other)[160:] + pack(other)[:160]]
    for given_ in wrong:
        assert four.contract.ask(advance_call(block, footer, point, given_)) == "SetMismatch"
    for given_ in (pack(other)[:-1], pack(other) + b"\0", bytes(160 * 227)):
        assert four.contract.ask(advance_call(block, footer, point, given_)) == "SetInvalid"
    assert four.contract.ask(advance_call(block, footer, point, pack(other))) == ""


@settings(max_examples=40, deadline=None)
@example([1, 127, 128, 255, 256, 65535, 65536, 2**88 - 1, 2**88, 2**96 - 1])
@given(st.lists(st.integers(1, 2**96 - 1), min_size=1, max_size=24))
def test_any_powers_make_the_root_and_quorum_of_the_python_client(powers: list[int]) -> None:
    """Powers of one to twelve bytes, and lists whose length has one byte and two."""
    delegates = set_of(KEYS[: len(powers)], tuple(powers))
    contract = Host(NOW).deploy(creation(PARAMETERS, CHAIN, bytes(32), delegates))
    assert contract.delegates() == (delegates.root(), len(delegates), delegates.quorum)


def test_the_largest_set_fits_and_one_more_does_not(four: World) -> None:
    """226 delegates of the greatest power fill the code of an account; the chain has 144 at most."""
    keys = derive(b"m" * 32, 227)
    calls = []
    for count in (227, 226):
        most = set_of(keys[:count], (2**96 - 1,) * count)
        block = header(10, most.root())
        footer = four.sign(block)
        calls.append(advance_call(block, footer, point_of(footer), pack(most)))
    assert four.contract.ask(calls[0]) == "SetInvalid"
    four.contract.do(calls[1])
    assert four.contract.delegates() == (most.root(), 226, most.quorum)


def test_a_client_can_start_with_180_delegates() -> None:
    """EIP-3860 limits the code that makes a contract, which carries the set."""
    delegates = set_of(derive(b"m" * 32, 180), (2**96 - 1,) * 180)
    contract = Host(NOW).deploy(creation(PARAMETERS, CHAIN, bytes(32), delegates))
    assert contract.delegates() == (delegates.root(), 180, delegates.quorum)


def _root(packed: bytes) -> bytes:
    """Root of any packed bytes, also of sets that `DelegateSet` refuses: keys compressed by their x and y alone."""
    fields = []
    half = 0x0D0088F51CBFF34D258DD3DB21A5D66BB23BA5C279C2895FB39869507B587B120F55FFFF58A9FFFFDCFF7FFFFFFFD555
    for at in range(0, len(packed) - 159, 160):
        member = packed[at : at + 160]
        x, y = bytearray(member[48:96]), int.from_bytes(member[96:160])
        x[0] |= 0xA0 if y > half else 0x80
        fields.append([member[:20], member[20:32].lstrip(b"\0"), bytes(x)])
    return bytes(keccak(rlp.encode(fields)))


def test_the_roots_of_these_tests_are_the_clients() -> None:
    assert _root(pack(world(9).delegates)) == world(9).delegates.root()


def _changed(packed: bytes, at: int, value: bytes) -> bytes:
    return packed[:at] + value + packed[at + len(value) :]


GOOD = pack(set_of(KEYS[:4]))
P = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB


@pytest.mark.parametrize(
    ("packed", "reason"),
    [
        (b"", "SetInvalid"),
        (GOOD[:-1], "SetInvalid"),
        (GOOD + GOOD[:32], "SetInvalid"),
        (_changed(GOOD, 180, bytes(12)), "SetInvalid"),  # no power
        (_changed(GOOD, 160, GOOD[:20]), "SetInvalid"),  # an address twice
        (_changed(GOOD, 192, GOOD[32:160]), "SetInvalid"),  # a key twice
        (_changed(GOOD, 192, bytes(128)), "KeyInvalid"),  # infinity
        (_changed(GOOD, 192, bytes(63) + b"\x01" + bytes(63) + b"\x01"), "KeyInvalid"),  # not on the curve
        # x = 4 is on the curve and outside the subgroup
        (_changed(GOOD, 192, bytes(63) + b"\x04" + pow(68, (P + 1) // 4, P).to_bytes(64)), "KeyInvalid"),
        (_changed(GOOD, 192, b"\x01"), "KeyInvalid"),  # the padding of x
        (_changed(GOOD, 256, b"\x01"), "KeyInvalid"),  # the padding of y
        (_changed(GOOD, 192, (int.from_bytes(GOOD[192:256]) + P).to_bytes(64)), "KeyInvalid"),  # x + p
    ],
)
def test_a_set_with_something_wrong_in_it_is_refused(packed: bytes, reason: str) -> None:
    """Though its root is the named one."""
    code = creation(PARAMETERS, CHAIN, bytes(32), set_of(KEYS[:4]), packed=packed, root=_root(packed))
    assert refusal(Host(NOW).call(code)) == reason


def test_the_point_outside_the_subgroup_is_on_the_curve() -> None:
    assert pow(pow(68, (P + 1) // 4, P), 2, P) == 4**3 + 4


def test_python_refuses_what_is_twice_as_well() -> None:
    first, second = set_of(KEYS[:2]).members
    for pair in [(first, second._replace(key=first.key)), (first, second._replace(address=first.address))]:
        with pytest.raises(DelegateSetError):
            DelegateSet(pair)


def test_the_key_with_the_other_y_has_another_root(four: World) -> None:
    """The root holds the sign of y, so that nobody can swap a key for its negative."""
    other = set_of(KEYS[4:9])
    y = int.from_bytes(pack(other)[96:160])
    packed = _changed(pack(other), 96, (P - y).to_bytes(64))
    block = header(10, other.root())
    footer = four.sign(block)
    assert four.contract.ask(advance_call(block, footer, point_of(footer), packed)) == "SetMismatch"
    named = header(10, _root(packed))
    footer = four.sign(named)
    assert four.contract.ask(advance_call(named, footer, point_of(footer), packed)) == ""


# --- trust and time ---


def test_a_client_that_nobody_moves_goes_stale(four: World) -> None:
    """At the end of the unbonding time it refuses everything, by any certificate, for good."""
    contract, host = four.contract, four.contract.host
    block = header(5, four.delegates.root(), NOW + 1000)
    footer = four.sign(block)
    contract.do(advance_call(block, footer, point_of(footer)))
    assert contract.head() == (5, NOW + 1000 + UNBONDING_SECONDS)
    later = header(6, four.delegates.root(), NOW + 2 * UNBONDING_SECONDS)
    footer = four.sign(later)
    calls = [final_call(later, footer, point_of(footer)), advance_call(later, footer, point_of(footer))]
    host.mine([], 1000 + UNBONDING_SECONDS - 1)
    assert [contract.ask(each) for each in calls] == ["", ""]
    host.mine([], 1)
    assert [contract.ask(each) for each in calls] == ["ClientStale", "ClientStale"]
    host.mine([], 10 * UNBONDING_SECONDS)
    assert [contract.ask(each) for each in calls] == ["ClientStale", "ClientStale"]


@pytest.mark.parametrize(("number", "age"), [(5, UNBONDING_SECONDS - 1), (5, UNBONDING_SECONDS), (0, 10**9)])
def test_a_checkpoint_must_be_young(number: int, age: int) -> None:
    """As for the Python client; block 0 is trusted from the deployment on."""
    delegates = set_of(KEYS[:4])
    block = header(number, delegates.root(), NOW - age)
    expected = ""
    try:
        genesis = bytes(keccak(block)) if number == 0 else bytes(32)
        LightClient(Checkpoint(CHAIN, genesis, block, delegates), PARAMETERS, NOW)
    except NotFinal as error:
        expected = error.reason
    code = creation(PARAMETERS, CHAIN, genesis, delegates, number=number, timestamp=NOW - age)
    found = refusal(Host(NOW).call(code))
    assert REASONS.get(found, found) == expected


def test_the_genesis_is_trusted_for_the_unbonding_time(four: World) -> None:
    block = header(7, four.delegates.root(), NOW)
    footer = four.sign(block)
    four.contract.host.mine([], UNBONDING_SECONDS - 1)
    assert refused(four.contract, block, footer) == ""
    four.contract.host.mine([], 1)
    assert refused(four.contract, block, footer) == "ClientStale"


def test_a_checkpoint_of_other_delegates_is_refused() -> None:
    code = creation(PARAMETERS, CHAIN, bytes(32), set_of(KEYS[:4]), root=set_of(KEYS[1:5]).root())
    assert refusal(Host(NOW).call(code)) == "SetMismatch"


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ({"unbonding": 0}, "ParametersInvalid"),
        ({"unbonding": 1 << 63}, "ParametersInvalid"),
        ({"unbonding": (1 << 63) - 1, "number": 1, "timestamp": (1 << 63) - 1}, ""),
        ({"number": 1 << 63}, "HeaderInvalid"),
        ({"number": 1, "timestamp": 1 << 63}, "HeaderInvalid"),
    ],
)
def test_parameters_out_of_range_are_refused(terms: dict[str, Any], reason: str) -> None:
    assert refusal(Host(NOW).call(creation(PARAMETERS, CHAIN, bytes(32), set_of(KEYS[:4]), **terms))) == reason


def test_an_epoch_of_no_blocks_is_refused() -> None:
    code = creation(replace(PARAMETERS, blocks_per_epoch=0), CHAIN, bytes(32), set_of(KEYS[:4]))
    assert refusal(Host(NOW).call(code)) == "ParametersInvalid"


def test_a_client_of_another_chain_refuses(four: World) -> None:
    """The domain binds chain id and genesis: a certificate of one chain shows nothing on another."""
    block = header(7, bytes(32))
    footer = four.sign(block)
    for chain_id, genesis in [(CHAIN + 1, four.genesis_hash), (CHAIN, bytes(32))]:
        contract = Host(NOW).deploy(creation(PARAMETERS, chain_id, genesis, four.delegates))
        assert refused(contract, block, footer) == "SignatureInvalid"


def test_too_little_gas_to_keep_a_set_changes_nothing(four: World) -> None:
    other = set_of(KEYS[:24], (1,) * 24)
    block = header(10, other.root())
    footer = four.sign(block)
    data = advance_call(block, footer, point_of(footer), pack(other))
    host, contract = four.contract.host, four.contract
    used = host.call(data, contract.address).gas_used
    result = host.call(data, contract.address, gas=used - 100_000)
    assert refusal(result) == "StoreFailed"
    assert not host.send(data, contract.address, gas=used - 100_000).receipts[0].status
    assert contract.head()[0] == 0


def test_the_store_is_no_code_that_runs(four: World) -> None:
    """The set's account stops at its first byte, whatever a key may look like as code."""
    host = four.contract.host
    *_, store = four.contract.read("delegateSet")
    called = host.call(b"anything", store)
    assert (called.status, called.output) == ("success", b"")
    assert host.chain.view(host.chain.head_number).code(store)[:33] == b"\0" + four.delegates.root()
