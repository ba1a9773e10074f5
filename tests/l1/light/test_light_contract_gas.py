"""What the Solidity light client costs: the table of docs/reference/light-client.md is what is measured here."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import pytest
import rlp
from eth_abi.abi import decode, encode
from eth_hash.auto import keccak
from light_chain import Contract, Host, advance_call, creation, documented, final_call, pack, point_of
from light_headers import CHAIN, NOW, PARAMETERS, set_of, signed

from l1.consensus.messages import domain_of
from l1.nodes.keys import derive
from l1.staking.points import key_point
from verifier.contracts.compile import SOURCES, compile_sources

SIZES = (4, 24, 144)
TOLERANCE = 0.01
"""Calldata bytes that happen to be zero move a figure a little."""
TRANSACTION = 21_000
POWER = 2_000_000 * 10**18
KEYS, NEXT = derive(b"g" * 32, 144), derive(b"h" * 32, 144)


def header(number: int, root: bytes) -> bytes:
    """A header with as many bytes that are not zero as one of the chain has: calldata costs by them."""
    digests = [keccak(bytes([at])) for at in range(8)]
    words = [*digests[:2], digests[2][:20], *digests[3:6], bytes(256), b""]
    numbers = [number.to_bytes(1), (60_000_000).to_bytes(4), (123_456).to_bytes(3), NOW.to_bytes(4)]
    rest = [root, digests[6], bytes(8), (10**9).to_bytes(4), digests[7], b"", b"", bytes(32), digests[7]]
    return bytes(rlp.encode([*words, *numbers, *rest]))


@lru_cache
def measured(count: int) -> dict[str, int]:
    """Gas of each transaction with a set of so many delegates of equal power."""
    delegates, following = (set_of(keys[:count], (POWER,) * count) for keys in (KEYS, NEXT))
    contract = Host(NOW).deploy(creation(PARAMETERS, CHAIN, bytes(32), delegates))
    rows = {"creation": contract.gas}
    domain, keys = domain_of(CHAIN, bytes(32)), KEYS[:count]

    def call(number: int, root: bytes, voters: int) -> tuple[bytes, bytes, bytes]:
        block = header(number, root)
        footer = signed(block, keys, tuple(range(voters)), domain)
        return block, footer, point_of(footer)

    same = delegates.root()
    for name, voters in [("all sign", count), ("two thirds sign", 2 * count // 3 + 1)]:
        result = contract.host.call(final_call(*call(7, same, voters)), contract.address)
        assert result.status == "success"
        rows[f"`requireFinal`, {name}"] = result.gas_used
    rows["`advance`, same set"] = contract.do(advance_call(*call(8, same, count))).block.gas_used
    changed = advance_call(*call(10, following.root(), count), pack(following))
    rows["`advance`, next set"] = contract.do(changed).block.gas_used
    return rows


@pytest.mark.parametrize("row", list(measured(4)))
def test_the_documented_figures_are_the_measured_ones(row: str) -> None:
    found = [measured(count)[row] for count in SIZES]
    print(f"| {row} | {' | '.join(f'{gas:,}' for gas in found)} |")
    assert documented(row) == pytest.approx(found, rel=TOLERANCE)


def test_the_largest_set_of_the_chain_fits_a_transaction() -> None:
    """EIP-7825: 16,777,216 gas."""
    assert max(measured(144).values()) < 1 << 24


# --- the choices ---

WAYS = ("code", "calldata and a hash", "storage slots")
BLS = SOURCES / "BLS12381.sol"


def _compiled() -> tuple[bytes, dict[str, bytes]]:
    """The test contract's creation code and its functions' selectors."""
    sources = {path.name: path.read_text() for path in [*(Path(__file__).parent / "solidity").glob("*.sol"), BLS]}
    _, contracts = compile_sources(sources, only="SetStores.sol")
    built = contracts["SetStores.sol"]["SetStores"]
    names = [(each["name"], [item["type"] for item in each["inputs"]]) for each in built["abi"]]
    selectors = {name: keccak(f"{name}({','.join(types)})".encode())[:4] for name, types in names}
    return bytes.fromhex(built["evm"]["bytecode"]["object"]), selectors


@pytest.fixture(scope="module")
def stores() -> tuple[Contract, dict[str, bytes]]:
    code, selectors = _compiled()
    return Host(NOW).deploy(code), selectors


@pytest.mark.parametrize("count", SIZES)
def test_a_set_kept_as_code_is_the_cheapest_to_read(stores: tuple[Contract, dict[str, bytes]], count: int) -> None:
    """The same bytes as code, as calldata checked against one stored hash, and as storage slots."""
    contract, selectors = stores
    kept = b"".join(
        each.power.to_bytes(12) + point[16:64] + point[80:128]
        for each in set_of(KEYS[:count], (POWER,) * count).members
        for point in [key_point(each.key)]
    )
    argument = encode(["bytes"], [kept])
    writes, reads = [], []
    for way, given, carried in [("Code", b"", 0), ("Calldata", argument, calldata_gas(argument)), ("Slots", b"", 0)]:
        keep = {"Calldata": "keepHash"}.get(way, f"keep{way}")
        writes.append(contract.do(selectors[keep] + argument).block.gas_used - TRANSACTION)
        result = contract.host.call(selectors[f"read{way}"] + given, contract.address)
        found, used = decode(["bytes", "uint256"], result.output)
        assert found == kept
        reads.append(used + carried)
    print(f"{count} delegates: as code, calldata, slots: read {reads}, keep {writes}")
    assert reads[0] < reads[1] < reads[2]
    rows = [documented(f"{verb} a set as {way}")[SIZES.index(count)] for verb in ("read", "keep") for way in WAYS]
    assert rows == pytest.approx(reads + writes, rel=TOLERANCE)


def calldata_gas(data: bytes) -> int:
    """16 gas a byte, 4 for a zero (EIP-2028); a transaction that executes little pays more (EIP-7623)."""
    return 16 * len(data) - 12 * data.count(0)


@pytest.mark.parametrize("count", SIZES)
def test_adding_keys_is_cheaper_than_multiplying_them_by_one(
    stores: tuple[Contract, dict[str, bytes]], count: int
) -> None:
    contract, selectors = stores
    raw = pack(set_of(KEYS[:count], (POWER,) * count))
    points = [raw[at + 32 : at + 160] for at in range(0, len(raw), 160)]
    found = {}
    for name, given in [
        ("addGas", b"".join(points)),
        ("msmGas", b"".join(point + (1).to_bytes(32) for point in points)),
    ]:
        result = contract.host.call(selectors[name] + encode(["bytes"], [given]), contract.address)
        found[name] = decode(["bytes", "uint256"], result.output)
    print(f"{count} keys: G1ADD {found['addGas'][1]} gas, G1MSM {found['msmGas'][1]}")
    assert found["addGas"][0] == found["msmGas"][0]
    assert found["addGas"][1] < found["msmGas"][1]
    rows = [documented(f"add all keys by {name}")[SIZES.index(count)] for name in ("`G1ADD`", "`G1MSM`")]
    assert rows == pytest.approx([found["addGas"][1], found["msmGas"][1]], rel=TOLERANCE)


def test_every_figure_of_the_page_is_tested() -> None:
    """No row of the table is left that nothing measures."""
    text = (Path(__file__).parents[3] / "docs" / "reference" / "light-client.md").read_text()
    rows = set(re.findall(r"^\| ([^|]+) \| [\d,]+ \| [\d,]+ \| [\d,]+ \|$", text, re.MULTILINE))
    ways = {f"{verb} a set as {way}" for verb in ("read", "keep") for way in WAYS}
    assert rows - {"delegates"} == {*measured(4), *ways, "add all keys by `G1ADD`", "add all keys by `G1MSM`"}
