"""What must hold: only the honest event passes, whatever is changed; and it passes offline."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from eth_hash.auto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.ledger.tables import TaskRow
from coordinator.webhooks.event import MAX_BODY, TASK_FINAL, Site, cloud_event, task_data
from tests.webhooks.signed_chain import EMPTY_RECEIPT, EPOCH, SETS, Settlement, SignedChain
from verifier.errors import Refused
from verifier.evidence import rlp
from verifier.evidence.blocks import Header
from verifier.evidence.trie import Trie, position_key
from verifier.finality_proof import FinalityProof, FinalSettlement, check_finality_proof
from verifier.statement import Domain, task_id

ROUTER = b"\x3c" * 20
DOMAIN = Domain(4690, ROUTER)
WINDOW = (1, 17)
TASK = task_id(1, 1, *WINDOW)
HONEST = Settlement(ROUTER, TASK)
CHAIN = SignedChain()
PROOF = CHAIN.proof(HONEST.receipt(), position=1, receipts=3)
PATHS = ("settlement.finality_proof", "settlement", "output", "window", "task_id", "project_id", "version")


def event_of(proof: FinalityProof, settlement: Settlement = HONEST, **changes: Any) -> dict[str, Any]:
    """The event as the coordinator makes it, and as a receiver reads it."""
    header = Header.decode(proof.header)
    values: dict[str, Any] = {
        "id": "0x" + settlement.task_id.hex(),
        "project_id": settlement.project_id,
        "version": settlement.version,
        "window_start": WINDOW[0],
        "window_end": WINDOW[1],
        "count": 16,
        "state": "FINAL",
        "inputs": "0x" + "1a" * 32,
        "output": "0x" + keccak(settlement.public_output).hex(),
        "public_output": settlement.public_output,
        "transaction_hash": "0x" + "4d" * 32,
        "block_number": header.number,
        "block_hash": "0x" + header.hash.hex(),
        "finality_source": "bls",
        "missing": 2,
        "duplicates": 0,
        "late": 0,
        "reordered": 0,
        "provenance": "in-proof",
        "code": "",
        "reason": "",
    }
    data = task_data(TaskRow(**(values | changes)), Site(4690, "0x" + ROUTER.hex()), finality_proof=proof)
    raw = cloud_event("msg_1", TASK_FINAL, project_id=1, subject="0x", at=1_700_000_000_000, data=data)
    assert len(raw) <= MAX_BODY
    found: dict[str, Any] = json.loads(raw)
    return found


def check(
    event: dict[str, Any], epoch: int = 1, domain: Domain = DOMAIN, chain: SignedChain = CHAIN
) -> FinalSettlement:
    return check_finality_proof(event["data"], chain.client(epoch), domain)


def refusal(event: dict[str, Any], **options: Any) -> Refused:
    with pytest.raises(Refused) as refused:
        check(event, **options)
    assert refused.value.field.startswith(PATHS), refused.value.field
    return refused.value


EVENT = event_of(PROOF)
SHOWN = check(EVENT)


def carrying(proof: FinalityProof, event: dict[str, Any] = EVENT) -> dict[str, Any]:
    """An event that carries another proof, however large."""
    return changed("settlement.finality_proof", proof.to_json(), event)


def changed(path: str, value: Any, event: dict[str, Any] = EVENT) -> dict[str, Any]:
    found = copy.deepcopy(event)
    *way, last = path.split(".")
    at = found["data"]
    for name in way:
        at = at[name]
    at[last] = value
    return found


# --- the honest event ---


@given(st.integers(1, 300), st.data())
@settings(max_examples=30)
def test_every_receipt_of_a_block_is_shown(receipts: int, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, receipts - 1))
    shown = check(event_of(CHAIN.proof(HONEST.receipt(), position=position, receipts=receipts)))
    assert (shown.block_number, shown.task_id, shown.project_id, shown.version) == (7, TASK, 1, 1)
    assert (shown.public_output, shown.output) == (HONEST.public_output, keccak(HONEST.public_output))
    assert (shown.prover, shown.settled_at) == (HONEST.prover, 1_800_000_000)


def test_each_epoch_is_shown_by_the_client_that_is_there() -> None:
    for epoch in (1, 2, 3):
        for number in ((epoch - 1) * EPOCH + 1, epoch * EPOCH - 1, epoch * EPOCH):
            assert check(event_of(CHAIN.proof(HONEST.receipt(), number)), epoch).block_number == number


def test_the_form_in_the_event_is_read_as_it_is_written() -> None:
    assert FinalityProof.from_json(json.loads(json.dumps(PROOF.to_json()))) == PROOF
    assert FinalityProof.from_json(PROOF.to_json() | {"later": "field"}) == PROOF


def test_an_event_without_its_output_is_shown_all_the_same() -> None:
    event = changed("output", {"hash": EVENT["data"]["output"]["hash"], "omitted": True})
    assert check(event) == SHOWN


def test_one_transaction_may_settle_several_tasks() -> None:
    others = [replace(HONEST, task_id=task_id(1, 1, start, start + 16), prover=b"\x66" * 20) for start in (17, 33)]
    assert check(event_of(CHAIN.proof(HONEST.receipt(*others)))).prover == HONEST.prover


# --- what is no proof, or too much of one ---


def test_an_event_without_a_proof_is_refused() -> None:
    event = copy.deepcopy(EVENT)
    del event["data"]["settlement"]["finality_proof"]
    error = refusal(event)
    assert error.code == "W3B-9012"
    assert "carries no proof" in error.message


@given(st.integers(0, 20_000))
@settings(max_examples=60)
def test_what_does_not_fit_is_left_out_proof_first(size: int) -> None:
    big = replace(HONEST, public_output=b"\xff" * size)
    event = event_of(CHAIN.proof(big.receipt()), big)
    proof, output = event["data"]["settlement"]["finality_proof"], event["data"]["output"]
    if "header" in proof:
        assert check(event).public_output == big.public_output
        return
    assert proof == {"omitted": True, "cli": f"w3bstream evidence get 0x{TASK.hex()}"}
    error = refusal(event)
    assert error.code == "W3B-9012"
    assert "w3bstream evidence get" in error.next_step
    assert output.get("omitted") is True or output["abi"] == "0x" + big.public_output.hex()
    assert size > 3_000, "a proof of usual size is never left out"


# --- forgeries ---


def test_a_header_that_nobody_signed_is_refused() -> None:
    trie = Trie({position_key(0): replace(HONEST, prover=b"\x66" * 20).receipt()})
    fields = rlp.to_list(rlp.decode(PROOF.header))
    fields[5] = trie.root
    forged = replace(PROOF, header=rlp.encode(fields), position=0, receipt=tuple(trie.prove(position_key(0))))
    assert refusal(event_of(forged)).code == "W3B-9012"


@given(st.data())
@settings(max_examples=150)
def test_a_changed_bit_anywhere_in_the_proof_is_refused(data: st.DataObject) -> None:
    parts = [PROOF.header, PROOF.footer, *PROOF.receipt]
    which = data.draw(st.integers(0, len(parts) - 1))
    at = data.draw(st.integers(0, len(parts[which]) * 8 - 1))
    changed = bytearray(parts[which])
    changed[at // 8] ^= 1 << at % 8
    parts[which] = bytes(changed)
    event = carrying(FinalityProof(parts[0], parts[1], PROOF.position, tuple(parts[2:])))
    assert refusal(event).code in ("W3B-9003", "W3B-9004", "W3B-9012")


def other_number() -> FinalityProof:
    return CHAIN.proof(HONEST.receipt(), 8, position=1, receipts=3)


FOOTERS: dict[str, Callable[[], bytes]] = {
    "of another block": lambda: other_number().footer,
    "of another chain id": lambda: SignedChain(4689).proof(HONEST.receipt(), position=1, receipts=3).footer,
    "of another genesis": lambda: SignedChain(seed=1).proof(HONEST.receipt(), position=1, receipts=3).footer,
    "of another set": lambda: CHAIN.proof(HONEST.receipt(), position=1, receipts=3, signed_by=1).footer,
    "of too few": lambda: CHAIN.proof(HONEST.receipt(), position=1, receipts=3, signers=(0, 1)).footer,
    "of two, said to be three": lambda: _bitmap(
        CHAIN.proof(HONEST.receipt(), position=1, receipts=3, signers=(0, 1)).footer
    ),
    "cut": lambda: PROOF.footer[:-1],
    "longer": lambda: PROOF.footer + b"\x00",
    "empty": lambda: b"",
}


def _bitmap(footer: bytes) -> bytes:
    return footer[:-1] + b"\x07"


@pytest.mark.parametrize("footer", FOOTERS.values(), ids=FOOTERS.keys())
def test_a_footer_that_is_not_this_block_s_is_refused(footer: Callable[[], bytes]) -> None:
    error = refusal(event_of(replace(PROOF, footer=footer())))
    assert (error.code, error.field) == ("W3B-9012", "settlement.finality_proof.footer")


@pytest.mark.parametrize("signed_by", [0, 2])
def test_an_old_set_and_one_too_soon_are_refused(signed_by: int) -> None:
    event = event_of(CHAIN.proof(HONEST.receipt(), EPOCH + 5, signed_by=signed_by))
    error = refusal(event, epoch=2)
    assert (error.code, error.field) == ("W3B-9012", "settlement.finality_proof.footer")


@pytest.mark.parametrize(("number", "epoch"), [(7, 2), (EPOCH + 7, 1), (EPOCH, 2), (2 * EPOCH + 1, 1)])
def test_a_client_of_another_epoch_is_told_so(number: int, epoch: int) -> None:
    error = refusal(event_of(CHAIN.proof(HONEST.receipt(), number)), epoch=epoch)
    assert error.code == "W3B-9012"
    assert "light client" in error.next_step


def test_an_event_of_another_chain_is_refused() -> None:
    """Its own client shows it; the reader's does not, nor when the event names the reader's chain."""
    other = SignedChain(4691)
    event = event_of(other.proof(HONEST.receipt()))
    assert refusal(event, chain=other, domain=Domain(4691, ROUTER)).field == "settlement.chain_id"
    assert refusal(event).code == "W3B-9012"
    event["data"]["settlement"]["chain_id"] = 4691
    assert check(event, chain=other, domain=Domain(4691, ROUTER)).task_id == TASK
    assert refusal(event).field == "settlement.chain_id"


def receipts_of(settlements: list[Settlement]) -> Iterator[FinalityProof]:
    """The proof of each settlement, all in one block."""
    trie = Trie({position_key(at): each.receipt() for at, each in enumerate(settlements)})
    base = CHAIN.proof(EMPTY_RECEIPT)
    fields = rlp.to_list(rlp.decode(base.header))
    fields[5] = trie.root
    encoded = rlp.encode(fields)
    footer = CHAIN.sign(encoded, 7, SETS[0])
    for at in range(len(settlements)):
        yield FinalityProof(encoded, footer, at, tuple(trie.prove(position_key(at))))


def test_the_receipt_of_another_transaction_of_the_block_is_refused() -> None:
    other = replace(HONEST, task_id=task_id(1, 1, 17, 33))
    mine, theirs, third = receipts_of([HONEST, other, other])
    assert check(event_of(mine)).task_id == TASK
    assert refusal(event_of(theirs)).field == "task_id"
    for mixed in (replace(mine, position=1), replace(mine, receipt=theirs.receipt), replace(third, position=0)):
        assert refusal(event_of(mixed)).code == "W3B-9003"


@pytest.mark.parametrize(
    "change",
    [
        lambda nodes: nodes[:-1],
        lambda nodes: nodes[1:],
        lambda nodes: (*nodes, nodes[-1]),
        lambda nodes: (nodes[0], *nodes),
        lambda nodes: nodes[::-1],
        lambda nodes: (*nodes[:-1], nodes[-1][:-1]),
        lambda nodes: (*nodes[:-1], nodes[-1] + b"\x00"),
        lambda nodes: (*nodes, b""),
        lambda nodes: (b"", *nodes),
        lambda nodes: nodes * 30,
    ],
)
def test_a_proof_that_is_cut_or_longer_is_refused(change: Callable[[tuple[bytes, ...]], tuple[bytes, ...]]) -> None:
    honest = CHAIN.proof(HONEST.receipt(), position=200, receipts=300)
    assert len(honest.receipt) > 1
    assert check(event_of(honest)).task_id == TASK
    error = refusal(carrying(replace(honest, receipt=change(honest.receipt)), event_of(honest)))
    assert error.code in ("W3B-9003", "W3B-9012")
    assert error.field.startswith("settlement.finality_proof.receipt")


@pytest.mark.parametrize("nodes", [0, 65, 1000])
def test_so_many_nodes_are_no_proof(nodes: int) -> None:
    error = refusal(carrying(replace(PROOF, receipt=(b"",) * nodes)))
    assert (error.code, error.field) == ("W3B-9012", "settlement.finality_proof.receipt")


@pytest.mark.parametrize(
    "settlement",
    [
        replace(HONEST, task_id=task_id(1, 1, 17, 33)),
        replace(HONEST, router=b"\x3d" * 20),
        replace(HONEST, times=0),
        replace(HONEST, times=2),
        replace(HONEST, succeeded=False),
        replace(HONEST, project_id=2),
        replace(HONEST, version=2),
        replace(HONEST, output=b"\x01" * 32),
        replace(HONEST, public_output=b"\x02" * 32),
        replace(HONEST, public_output=HONEST.public_output * 2),
    ],
)
def test_a_final_receipt_that_says_something_else_is_refused(settlement: Settlement) -> None:
    assert refusal(event_of(CHAIN.proof(settlement.receipt()))).code == "W3B-9004"


def test_an_output_that_is_not_the_hash_of_the_public_output_is_refused() -> None:
    event = event_of(CHAIN.proof(replace(HONEST, output=b"\x01" * 32).receipt()), output="0x" + "01" * 32)
    error = refusal(event)
    assert (error.code, error.field) == ("W3B-9004", "output")


def test_bytes_beyond_the_bounds_are_not_even_read() -> None:
    for part, most in (("header", 4096), ("footer", 1 << 17)):
        error = refusal(changed(f"settlement.finality_proof.{part}", "0x" + "00" * (most + 1)))
        assert f"at most {most} bytes" in error.message


def test_a_receipt_of_random_bytes_is_refused() -> None:
    assert refusal(event_of(CHAIN.proof(b"\x02" + b"\xff" * 40))).code == "W3B-9003"


CHANGES: list[tuple[str, Any]] = [
    ("task_id", "0x" + task_id(1, 1, 17, 33).hex()),
    ("task_id", None),
    ("task_id", "0x" + TASK.hex() + "00"),
    ("project_id", 2),
    ("project_id", True),
    ("version", 2),
    ("version", 1.0),
    ("window.start", 2),
    ("window.end", 18),
    ("window.end", -1),
    ("window.end", 1 << 70),
    ("window", []),
    ("output.hash", "0x" + "11" * 32),
    ("output.abi", "0x" + "11" * 32),
    ("output.abi", ""),
    ("output", None),
    ("settlement.chain_id", 1),
    ("settlement.router", "0x" + "11" * 20),
    ("settlement.block_number", 8),
    ("settlement.block_number", "7"),
    ("settlement.block_hash", "0x" + "11" * 32),
    ("settlement.finality_proof.position", 0),
    ("settlement.finality_proof.position", -1),
    ("settlement.finality_proof.position", 1 << 32),
    ("settlement.finality_proof.position", True),
    ("settlement.finality_proof.position", "1"),
    ("settlement.finality_proof.header", "0x"),
    ("settlement.finality_proof.header", "0x" + "00" * 5000),
    ("settlement.finality_proof.header", 7),
    ("settlement.finality_proof.footer", "no hex"),
    ("settlement.finality_proof.receipt", "0x"),
    ("settlement.finality_proof.receipt", [7]),
    ("settlement.finality_proof", None),
    ("settlement", None),
]


@pytest.mark.parametrize(("path", "value"), CHANGES)
def test_an_event_that_says_something_else_than_its_proof_is_refused(path: str, value: Any) -> None:
    error = refusal(changed(path, value))
    assert error.field.startswith(path.partition(".")[0])


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=80).map(lambda b: "0x" + b.hex()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


def paths(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if before:
        yield before
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in entries:
        yield from paths(each, (*before, name))


@given(st.sampled_from(list(paths(EVENT["data"]))), JSON)
@settings(max_examples=300)
def test_whatever_stands_anywhere_the_answer_is_the_chain_s_or_a_refusal(path: tuple[Any, ...], value: Any) -> None:
    event = copy.deepcopy(EVENT)
    at: Any = event["data"]
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = value
    try:
        shown = check(event)
    except Refused:
        return
    assert shown == SHOWN
