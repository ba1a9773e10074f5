"""What must hold: nothing is FINAL on anybody's silence. A server that refuses, answers null or lags decides nothing, and
what the Router froze after the settlement never becomes FINAL."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from eth_abi.abi import encode
from eth_hash.auto import keccak
from sqlmodel import select

from coordinator.dispatch.identity import load_identity
from coordinator.ledger.outbox_tables import WebhookMessageRow
from coordinator.ledger.tables import AttemptRow
from coordinator.service.service import Service
from coordinator.settings import Settings
from coordinator.settlement.chain import Block, Chain, JsonRpcChain, Receipt, RpcRefused
from coordinator.settlement.finality import Finality, finality_of
from coordinator.settlement.signer import KeyFileSigner
from coordinator.webhooks.task_events import statement_of
from provers.zkp.keys import KeyCache
from tests.groth16.oracle import HERE as GROTH16
from tests.settlement.rpc_server import replying
from tests.settlement.settlement_world import OTHER_WORDS, OUTPUT_TYPES, RICH, SIGNED, ZKP, Anvil, World, transfer
from tests.settlement.test_settlement_mempool import QUIET, proved, rewind
from verifier import bindings as b
from verifier.errors import InvalidInput, Unavailable

HEAD = {"number": "0x64", "hash": "0xAA", "timestamp": "0x1", "baseFeePerGas": "0x7"}
UNKNOWN_TAG = [
    {"result": None},
    {"error": {"code": -39001, "message": "unknown block"}},
    {"error": {"code": -32602, "message": "invalid argument 0: hex string without 0x prefix"}},
    {"error": {"code": -32000, "message": "finalized block not found"}},
]
NO_WORD = [
    {"error": {"code": -32007, "message": "15/second request limit reached"}},
    {"error": {"code": -32000, "message": "Too many requests for block data"}},
    {"error": {"code": -32603, "message": "internal error"}},
    {"error": {"code": -32005, "message": "limit exceeded"}},
]


def tagged(answer: dict[str, Any]) -> Callable[[web.Request], Any]:
    """A server at head 100 that answers so when asked for `finalized`."""

    async def handler(request: web.Request) -> web.Response:
        asked = (await request.json())["params"][0]
        return web.json_response(answer if asked == "finalized" else {"result": HEAD})

    return handler


class Flaky:
    """A chain whose answers about blocks can be made to fail."""

    def __init__(self, inner: Chain) -> None:
        self._inner = inner
        self.finalized: Callable[[], Block | None] | None = None
        self.missing: set[int] = set()
        self.head: Block | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def block(self, which: int | str) -> Block | None:
        if which == "finalized" and self.finalized is not None:
            return self.finalized()
        if which in self.missing:
            return None
        if which == "latest" and self.head is not None:
            return self.head
        return await self._inner.block(which)

    async def receipt(self, tx_hash: str) -> Receipt | None:
        found = await self._inner.receipt(tx_hash)
        return None if found is None or found.block_number in self.missing else found


def limited() -> Block | None:
    raise RpcRefused("eth_getBlockByNumber: 15/second request limit reached (-32007)", -32007)


# --- what the chain says about finality ---


async def test_a_chain_that_names_its_final_block_is_believed_whatever_the_depth(serve: Callable[..., Any]) -> None:
    chain: JsonRpcChain = await serve(tagged({"result": {**HEAD, "number": "0x40"}}))
    assert await finality_of(chain, 0) == await finality_of(chain, 12) == Finality("rpc-finalized")
    assert await Finality("rpc-finalized").number(chain, Block(100, "0xaa", 1, 7)) == 64


@pytest.mark.parametrize("answer", UNKNOWN_TAG)
async def test_a_chain_without_the_tag_needs_a_depth(serve: Callable[..., Any], answer: dict[str, Any]) -> None:
    chain: JsonRpcChain = await serve(tagged(answer))
    with pytest.raises(InvalidInput, match=r"W3B-5010.*W3BSTREAM_FINALITY_DEPTH"):
        await finality_of(chain, 0)
    by_depth = await finality_of(chain, 12)
    assert by_depth == Finality("rpc-depth", 12)
    assert await by_depth.number(chain, Block(100, "0xaa", 1, 7)) == 88


@pytest.mark.parametrize("answer", NO_WORD)
@pytest.mark.parametrize("depth", [0, 12])
async def test_a_refusal_that_is_not_about_the_tag_decides_nothing(
    serve: Callable[..., Any], answer: dict[str, Any], depth: int
) -> None:
    with pytest.raises(Unavailable, match="W3B-5001"):
        await finality_of(await serve(tagged(answer)), depth)


async def test_a_chain_without_a_block_decides_nothing(serve: Callable[..., Any]) -> None:
    with pytest.raises(Unavailable, match="W3B-5001"):
        await finality_of(await serve(replying({"result": None})), 12)


@pytest.mark.parametrize("answer", [*UNKNOWN_TAG, *NO_WORD])
async def test_a_chain_that_knew_the_tag_never_falls_back_to_its_head(
    serve: Callable[..., Any], answer: dict[str, Any]
) -> None:
    chain: JsonRpcChain = await serve(tagged(answer))
    with pytest.raises(Unavailable, match="W3B-5001"):
        await Finality("rpc-finalized").number(chain, Block(100, "0xaa", 1, 7))


async def test_the_service_does_not_start_on_a_chain_that_never_says_final(
    serve: Callable[..., Any], tmp_path: Path
) -> None:
    chain: JsonRpcChain = await serve(tagged({"result": None}))
    service = Service(Settings(home=tmp_path, chain_rpc_url=chain.url))
    with pytest.raises(InvalidInput, match=r"W3B-5010.*W3BSTREAM_FINALITY_DEPTH"):
        await service.start()


@pytest.mark.parametrize("finalized", [limited, lambda: None], ids=["refused", "null"])
async def test_one_bad_answer_makes_nothing_final(
    anvil_world: World, own_anvil: Anvil, finalized: Callable[[], Block | None]
) -> None:
    world, chain = anvil_world, Flaky(anvil_world.chain)
    settlement = world.settlement(chain=chain, collector_limits=QUIET, finality=await finality_of(chain, 0))
    task, _ = await proved(world, settlement)
    await world.until_task(settlement, task, "SETTLED")
    chain.finalized = finalized
    await own_anvil.rpc("anvil_mine", "0x1")
    for _ in range(3):
        await settlement.step()
        assert "W3B-5001" in settlement.last_error
    assert ((await world.task(task)).state, (await world.outbox("settle"))[-1].state) == ("SETTLED", "MINED")
    chain.finalized = None
    await own_anvil.rpc("anvil_mine", hex(70))
    final = await world.until_task(settlement, task, "FINAL")
    assert final.finality_source == "rpc-finalized"
    assert settlement.healthy


async def test_a_task_final_by_depth_says_so(anvil_world: World, own_anvil: Anvil) -> None:
    world, chain = anvil_world, Flaky(anvil_world.chain)
    chain.finalized = lambda: None
    settlement = world.settlement(chain=chain, collector_limits=QUIET, finality=await finality_of(chain, 3))
    task, _ = await proved(world, settlement)
    await world.until_task(settlement, task, "SETTLED")
    await own_anvil.rpc("anvil_mine", "0x2")
    for _ in range(3):
        await settlement.step()
    assert (await world.task(task)).state == "SETTLED", "two blocks on top are not three"
    await own_anvil.rpc("anvil_mine", "0x1")
    assert (await world.until_task(settlement, task, "FINAL")).finality_source == "rpc-depth"


# --- servers that lag ---


@pytest.mark.parametrize("lag", ["no block", "old head"])
async def test_a_server_that_lags_is_no_reorg(anvil_world: World, own_anvil: Anvil, lag: str) -> None:
    world, chain = anvil_world, Flaky(anvil_world.chain)
    settlement = world.settlement(chain=chain, collector_limits=QUIET)
    task, attempt = await proved(world, settlement)
    settled = await world.until_task(settlement, task, "SETTLED")
    number = settled.block_number or 0
    if lag == "no block":
        chain.missing = {number}
        await own_anvil.rpc("anvil_mine", "0x1")
    else:
        chain.head, chain.missing = await world.chain.block(number - 1), {number}
    for _ in range(3):
        await settlement.step()
    assert (await world.task(task)).state == "SETTLED"
    assert ((await world.attempt(attempt)).state, (await world.outbox("settle"))[-1].state) == ("VERIFIED", "MINED")
    chain.head, chain.missing = None, set()
    await own_anvil.rpc("anvil_mine", hex(70))
    await world.until_task(settlement, task, "FINAL")


# --- a record that a reorg took ---


async def test_a_record_outlives_a_reorg_in_which_an_assignment_ran_out(anvil_world: World, own_anvil: Anvil) -> None:
    """The window and the assignment were collected in one round; in one batch the record would be refused with it."""
    world = anvil_world
    settlement = world.settlement(collector_limits=QUIET)
    await world.add_prover("two", ZKP)
    first = await world.add_task()
    await world.until_task(settlement, first, "OPEN")
    late = await world.add_attempt(first, "one", ZKP)
    async with world.ledger.transaction() as session:
        row = await session.get_one(AttemptRow, late)
        row.deadline_at = world.ledger.clock() + 30_000
        session.add(row)
    task = await world.add_task()
    await world.until_task(settlement, task, "OPEN")
    record = next(row for row in await world.outbox("apply_batch") if task in row.ref["tasks"])
    assign = next(row for row in await world.outbox("apply_batch") if late in row.ref["assignments"])
    assert (record.ref["assignments"], assign.ref["tasks"]) == ([], [])
    proven = await world.assigned(settlement, task, "two", ZKP)
    await world.prove(proven)
    await world.until_task(settlement, task, "SETTLED")
    head = await world.chain.block("latest")
    assert head is not None
    await own_anvil.rpc("evm_setAutomine", False)
    await rewind(own_anvil, head.number - (record.block_number or 0) + 1)
    await world.until_task(settlement, task, "SATISFIED")
    await own_anvil.rpc("evm_increaseTime", 100)
    await own_anvil.rpc("evm_setAutomine", True)
    await own_anvil.rpc("evm_mine")

    async def given_up() -> bool:
        return (await world.attempt(late)).state == "REJECTED"

    await world.until(settlement, given_up)
    settled = await world.until_task(settlement, task, "SETTLED")
    assert settled.record_tx == record.id, "the same bytes recorded it again"
    assert (await world.attempt(proven)).state == "VERIFIED"


# --- a freeze after the settlement ---


async def test_a_freeze_after_the_settlement_is_seen_before_final(anvil_world: World, own_anvil: Anvil) -> None:
    world = anvil_world
    await world.add_prover("two", SIGNED)
    settlement = world.settlement(collector_limits=QUIET)
    task, attempt = await world.ready_attempt(settlement, "one")
    rival = await world.attempt(await world.assigned(settlement, task, "two", SIGNED))
    await world.prove(attempt)
    row = await world.until_task(settlement, task, "SETTLED")
    output = encode(OUTPUT_TYPES, OTHER_WORDS)
    rival.output = "0x" + keccak(output).hex()
    call = b.settle(statement_of(row, rival), SIGNED, output, world._proof(row, rival, OTHER_WORDS))
    assert (await transfer(world.chain, RICH, world.deployment.router, call)).succeeded
    await own_anvil.rpc("anvil_mine", hex(70))
    frozen = await world.until_task(settlement, task, "FROZEN", "FINAL")
    assert (frozen.state, frozen.code, frozen.finality_source) == ("FROZEN", "W3B-5007", "")
    async with world.ledger.reading() as session:
        (message,) = (await session.exec(select(WebhookMessageRow))).all()
    assert message.event_type == "w3bstream.task.frozen"


# --- keys that survive a power cut ---


class Synced:
    """Records what is synced, and in which order with renames and links."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.order: list[str] = []
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self.fsync)

    def fsync(self, handle: int) -> None:
        place = Path(os.readlink(f"/proc/self/fd/{handle}"))
        kind = "folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file"
        self.order.append(f"{kind} {place.name}")
        if kind == "folder":
            self.order += [f"sees {entry.name}" for entry in sorted(place.iterdir())]
        self._fsync(handle)

    def require_named(self, folder: str, name: str) -> None:
        """The folder was synced when the name was in it already."""
        at = [index for index, each in enumerate(self.order) if each == f"folder {folder}"]
        assert any(f"sees {name}" in self.order[index:] for index in at), self.order


def test_the_coordinator_s_key_survives_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = Synced(monkeypatch)
    KeyFileSigner.at(tmp_path / "keys" / "coordinator.json")
    synced.require_named("keys", "coordinator.json")
    synced.require_named(tmp_path.name, "keys")


def test_a_prover_s_key_survives_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = Synced(monkeypatch)
    load_identity(tmp_path, "zkp.groth16-0")
    synced.require_named("provers", "zkp.groth16-0.json")
    synced.require_named("keys", "provers")


def test_a_proving_key_survives_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = KeyCache(tmp_path / "home")
    synced = Synced(monkeypatch)
    r1cs = (GROTH16 / "small.r1cs").read_bytes()
    cache.key(r1cs, lambda _stage, _fraction: None)
    folder = cache.folder(r1cs)
    synced.require_named("groth16", folder.name)
    for file in folder.iterdir():
        assert f"file {file.name}" in synced.order
