"""The Solidity light client refuses and accepts what the Python one does, for the same reason."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest
import rlp
from eth_abi.abi import decode
from eth_hash.auto import keccak
from hypothesis import example, given, settings
from hypothesis import strategies as st
from light_chain import (
    FINAL,
    FUNCTIONS,
    REASONS,
    Contract,
    Host,
    advance_call,
    creation,
    events,
    final_call,
    pack,
    point_of,
    refusal,
)
from test_light_client import CHAIN, NOW, PARAMETERS, header, set_of, signed

from l1.consensus.delegates import DelegateSet, DelegateSetError
from l1.consensus.machine import Topic
from l1.consensus.messages import domain_of
from l1.light.client import UNBONDING_SECONDS, Checkpoint, HeaderView, LightClient, NotFinal
from l1.nodes.keys import DelegateKeys, derive

KEYS = derive(b"l" * 32, 24)


class World:
    """A set, and both clients that start from a genesis which names it."""

    def __init__(self, keys: tuple[DelegateKeys, ...], powers: tuple[int, ...]) -> None:
        self.keys, self.delegates = keys, set_of(keys, powers)
        genesis = header(0, self.delegates.root())
        self.genesis_hash = bytes(keccak(genesis))
        self.domain = domain_of(CHAIN, self.genesis_hash)
        self.python = LightClient(Checkpoint(CHAIN, self.genesis_hash, genesis, self.delegates), PARAMETERS, NOW)
        self.contract = Host(NOW).deploy(creation(PARAMETERS, CHAIN, self.genesis_hash, self.delegates))

    def sign(self, block: bytes, voters: tuple[int, ...] = (), **changes: Any) -> bytes:
        """The footer of these delegates, of all by default."""
        return signed(block, self.keys, voters or tuple(range(len(self.keys))), self.domain, **changes)

    def verdicts(self, block: bytes, footer: bytes) -> tuple[str, str]:
        """Why each client refuses a block; empty for what it takes. What both take they must read alike."""
        try:
            seen = self.python.require_final(block, footer)
            expected = "" if _roots_are_roots(block) else "header"
        except NotFinal as error:
            expected = error.reason
            if expected != "header" and not _roots_are_roots(block):
                expected = "header"
        result = self.contract.host.call(final_call(block, footer, point_of(footer)), self.contract.address)
        found = REASONS.get(refusal(result), refusal(result))
        if not found and not expected:
            (read,) = decode([FINAL], result.output)
            fields = rlp.decode(block)
            assert read == (seen.hash, seen.number, seen.timestamp, fields[3], fields[5], seen.next_root)
        return expected, found


def _roots_are_roots(block: bytes) -> bool:
    """What the contract asks of a header over what the Python client asks: it gives out these two as 32 bytes."""
    try:
        HeaderView.decode(block)
    except NotFinal:
        return False
    fields = rlp.decode(block)
    return len(fields[3]) == len(fields[5]) == 32


@lru_cache
def world(count: int) -> World:
    """A set of so many, with powers 1, 2, 3, 1, …"""
    return World(KEYS[:count], tuple(1 + index % 3 for index in range(count)))


@pytest.fixture
def four() -> World:
    return World(KEYS[:4], (1, 1, 1, 1))


def refused(contract: Contract, block: bytes, footer: bytes, signature: bytes | None = None) -> str:
    return contract.ask(final_call(block, footer, point_of(footer) if signature is None else signature))


# --- the same verdict as the Python client ---

SIZES = st.sampled_from([1, 4, 8, 9, 24])


@settings(max_examples=60, deadline=None)
@given(SIZES, st.data())
def test_any_subset_of_signers_gets_the_same_verdict(count: int, data: st.DataObject) -> None:
    """Votes of a random subset: final if, and only if, they have strictly more than two thirds."""
    here = world(count)
    voters = data.draw(st.sets(st.integers(0, count - 1), min_size=1))
    block = header(data.draw(st.integers(0, 12)), data.draw(st.binary(min_size=32, max_size=32)))
    expected, found = here.verdicts(block, here.sign(block, tuple(sorted(voters)), round=data.draw(st.integers(0, 9))))
    assert found == expected


@settings(max_examples=120, deadline=None)
@given(SIZES, st.data())
def test_a_mutated_footer_gets_the_same_verdict(count: int, data: st.DataObject) -> None:
    here = world(count)
    block = header(data.draw(st.integers(1, 10)), bytes(32))
    raw = bytearray(here.sign(block))
    for _ in range(data.draw(st.integers(1, 2))):
        at = data.draw(st.integers(0, len(raw) - 1))
        match data.draw(st.sampled_from(["flip", "insert", "delete", "bitmap"])):
            case "flip":
                raw[at] ^= 1 << data.draw(st.integers(0, 7))
            case "insert":
                raw.insert(at, data.draw(st.integers(0, 255)))
            case "delete":
                del raw[at]
            case "bitmap":
                raw[-1] ^= 1 << data.draw(st.integers(0, 7))
    expected, found = here.verdicts(block, bytes(raw))
    assert found == expected


FIELD = st.one_of(
    st.binary(max_size=3), st.binary(min_size=31, max_size=33), st.binary(min_size=54, max_size=58), st.just(bytes(32))
)


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_any_list_of_fields_gets_the_same_verdict(data: st.DataObject) -> None:
    """Fields of any length in any number, some of them lists, all well signed where the Python client reads them."""
    here = world(4)
    fields: list[Any] = data.draw(st.lists(FIELD, min_size=13, max_size=34))
    for at in data.draw(st.sets(st.sampled_from([3, 5, 12]))):
        fields[at] = bytes(32)
    for at in (8, 11):
        length = data.draw(st.sampled_from([0, 1, 2, 7, 8, 9, 40]))
        fields[at] = data.draw(st.integers(0, min(256**length, 1 << 64) - 1)).to_bytes(length)
    if data.draw(st.booleans()):
        fields[8] = b"\x05"
    if data.draw(st.integers(0, 5)) == 0:
        fields[data.draw(st.integers(0, len(fields) - 1))] = [b"in a list"]
    expected, found = here.verdicts(*_signed_if_read(here, bytes(rlp.encode(fields))))
    assert found == expected


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_mutated_header_bytes_get_the_same_verdict(data: st.DataObject) -> None:
    """Bytes of a header changed, put in or cut out: what is no canonical RLP is no header for either."""
    here = world(4)
    raw = bytearray(header(5, bytes(32), fields=data.draw(st.integers(15, 24))))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.one_of(st.integers(0, 5), st.integers(0, len(raw) - 1)))
        value = data.draw(
            st.sampled_from([0, 1, 0x7F, 0x80, 0x81, 0xA0, 0xB7, 0xB8, 0xB9, 0xC0, 0xF7, 0xF8, 0xF9, 0xFF])
        )
        match data.draw(st.sampled_from(["put", "insert", "delete"])):
            case "put":
                raw[at] = value
            case "insert":
                raw.insert(at, value)
            case "delete":
                del raw[at]
    expected, found = here.verdicts(*_signed_if_read(here, bytes(raw)))
    assert found == expected


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=700), st.binary(max_size=300))
def test_strange_bytes_get_the_same_verdict(block: bytes, footer: bytes) -> None:
    expected, found = world(4).verdicts(block, footer)
    assert found == expected == "header"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x80",
        b"\xc0",
        bytes(rlp.encode([bytes(32)] * 14)),
        bytes(rlp.encode([bytes(32)] * 33)),
        header(1, bytes(31)),
        header(1 << 63, bytes(32)),
        header(1, bytes(32), timestamp=1 << 63),
        header(1, bytes(32)) + b"\x00",
        bytes(rlp.encode([[bytes(32)]] * 21)),
        bytes(rlp.encode([bytes(32)] * 20 + [b""] * 10 + [bytes(3_500)])),
        b"\xb9\x10\x01" + bytes(4097),
        b"\xf8\x37" + b"\x80" * 0x37,  # a length of 55 in the long form
        b"\xf9\x00\xff" + b"\x80" * 0xFF,  # a length with a leading zero
        b"\xfa\x00\x01\x00" + b"\x80" * 0x100,  # three bytes of length
    ],
)
def test_bytes_that_are_no_header_are_refused(raw: bytes) -> None:
    assert world(4).verdicts(raw, b"") == ("header", "header")


def _spliced(at: int, item: bytes, fields: int = 21) -> bytes:
    """A header of block 5 whose field `at` is these bytes, whatever they are."""
    values: list[bytes] = [bytes(32)] * fields
    values[8], values[11] = b"\x05", NOW.to_bytes(4)
    body = b"".join(item if index == at else bytes(rlp.encode(each)) for index, each in enumerate(values))
    return b"\xf9" + len(body).to_bytes(2) + body


@pytest.mark.parametrize(
    ("at", "item", "expected"),
    [
        (8, b"\x05", ""),
        (8, b"\x81\x05", "header"),  # a byte below 0x80 is its own encoding
        (8, b"\x81\x80", "epoch"),
        (8, b"\x82\x00\x05", ""),  # a leading zero, which only makes another hash
        (12, b"\xb8\x20" + bytes(32), "header"),  # the long form of a short length
        (12, b"\xb9\x00\x20" + bytes(32), "header"),
        (13, b"\xb7" + bytes(55), ""),
        (13, b"\xb8\x37" + bytes(55), "header"),
        (13, b"\xb8\x38" + bytes(56), ""),
        (13, b"\xb8\xff" + bytes(255), ""),
        (13, b"\xb9\x00\xff" + bytes(255), "header"),
        (13, b"\xb9\x01\x00" + bytes(256), ""),
        (13, b"\xba\x00\x01\x00" + bytes(256), "header"),
        (13, b"\xc1\x05", "header"),
        (3, b"\x9f" + bytes(31), "header"),
        (5, b"\x80", "header"),
    ],
)
def test_each_form_of_a_field_gets_the_same_verdict(at: int, item: bytes, expected: str) -> None:
    here = world(4)
    assert here.verdicts(*_signed_if_read(here, _spliced(at, item))) == (expected, expected)


@pytest.mark.parametrize("powers", [(1, 1, 1, 1), (2, 2, 2, 3), (1, 2, 3, 3), (10**24, 10**24, 10**24, 3 * 10**24)])
def test_two_thirds_exactly_are_not_enough(powers: tuple[int, ...]) -> None:
    """Every subset of four: its members must have strictly more than two thirds (IIP-51)."""
    here = World(KEYS[:4], powers)
    block = header(3, bytes(32))
    for bits in range(1, 16):
        voters = tuple(index for index in range(4) if bits >> index & 1)
        expected = "" if 3 * sum(powers[each] for each in voters) > 2 * sum(powers) else "power"
        assert here.verdicts(block, here.sign(block, voters)) == (expected, expected)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda raw: raw[:-1] + b"\x0f", "signature"),  # one more signer than signed
        (lambda raw: raw[:-1] + b"\x17", "bitmap"),  # a fifth of four
        (lambda raw: raw[:-1] + b"\x00", "power"),
        (lambda raw: raw + b"\x00", "bitmap"),
        (lambda raw: raw + bytes(40), "bitmap"),
        (lambda raw: raw[:-1], "bitmap"),
        (lambda raw: raw[:50], "bitmap"),
        (lambda raw: b"", "bitmap"),
        (lambda raw: b"\0\0\0\1" + raw[4:], "signature"),  # another round
        (lambda raw: raw[:4] + b"\xc0" + bytes(95) + raw[100:], "signature"),
        (lambda raw: raw[:4] + b"\xff" * 96 + raw[100:], "signature"),
    ],
)
def test_a_changed_footer_is_refused_alike(change: Any, reason: str) -> None:
    here = world(4)
    block = header(7, bytes(32))
    assert here.verdicts(block, change(here.sign(block, (0, 1, 2)))) == (reason, reason)


@pytest.mark.parametrize(
    "changes", [{"topic": Topic.LOCK}, {"topic": Topic.PROPOSAL}, {"height": 8}, {"block_hash": bytes(32)}]
)
def test_a_signature_on_something_else_is_refused_alike(changes: dict[str, Any]) -> None:
    here = world(4)
    block = header(7, bytes(32))
    assert here.verdicts(block, here.sign(block, **changes)) == ("signature", "signature")


def _signed_if_read(here: World, block: bytes) -> tuple[bytes, bytes]:
    try:
        return block, here.sign(block)
    except NotFinal:
        return block, bytes(101)


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


# --- signatures ---


def test_the_uncompressed_signature_must_be_the_footers(four: World) -> None:
    """Another point, the same x with the other y, the wrong length: refused though the footer is right."""
    block = header(7, bytes(32))
    footer = four.sign(block)
    point = point_of(footer)
    assert refused(four.contract, block, footer, point) == ""
    other = point_of(four.sign(header(8, bytes(32))))
    for wrong in (
        other,
        b"",
        point[:-1],
        point + b"\0",
        bytes(256),
        point[:64] + bytes(192),
        point[:128] + other[128:],
    ):
        assert refused(four.contract, block, footer, wrong) == "SignatureInvalid"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 255), st.integers(0, 7))
def test_no_bit_of_the_uncompressed_signature_may_change(at: int, bit: int) -> None:
    here = world(4)
    block = header(7, bytes(32))
    footer = here.sign(block)
    point = bytearray(point_of(footer))
    point[at] ^= 1 << bit
    assert refused(here.contract, block, footer, bytes(point)) == "SignatureInvalid"


def test_the_negative_signature_is_refused(four: World) -> None:
    """The other root of y, in both forms: a point of the subgroup, but not the signature."""
    block = header(7, bytes(32))
    footer = bytearray(four.sign(block))
    footer[4] ^= 0x20
    assert point_of(bytes(footer)) != bytes(256)
    assert four.verdicts(block, bytes(footer)) == ("signature", "signature")


def test_a_point_outside_the_subgroup_is_refused(four: World) -> None:
    """The curve has more points than the group; the pairing precompile refuses them."""
    from py_ecc.bls.point_compression import decompress_G2
    from py_ecc.bls.typing import G2Compressed
    from py_ecc.optimized_bls12_381.optimized_curve import curve_order, is_inf, multiply, normalize

    block = header(7, bytes(32))
    footer = four.sign(block)
    for x in range(1, 50):
        compressed = (1 << 383).to_bytes(48) + x.to_bytes(48)
        try:
            point = decompress_G2(G2Compressed((int.from_bytes(compressed[:48]), int.from_bytes(compressed[48:]))))
        except ValueError:
            continue
        if not is_inf(multiply(point, curve_order)):
            break
    else:
        raise AssertionError("no point outside the subgroup was found")
    coordinates = [int(each) for pair in normalize(point) for each in pair.coeffs]
    raw = b"".join(each.to_bytes(64) for each in coordinates)
    forged = footer[:4] + compressed + footer[100:]
    assert refused(four.contract, block, forged, raw) == "SignatureInvalid"
    assert four.verdicts(block, forged) == ("signature", "signature")


def test_infinity_is_no_signature(four: World) -> None:
    block = header(7, bytes(32))
    footer = four.sign(block)
    for flags in (0x80, 0xA0, 0xC0):
        forged = footer[:4] + bytes([flags]) + bytes(95) + footer[100:]
        assert refused(four.contract, block, forged, bytes(256)) == "SignatureInvalid"


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
    store = host.call(FUNCTIONS["delegateSet"], four.contract.address).output[-20:]
    called = host.call(b"anything", store)
    assert (called.status, called.output) == ("success", b"")
    assert host.chain.view(host.chain.head_number).code(store)[:33] == b"\0" + four.delegates.root()
