"""Real blocks of anvil and of our chain, rebuilt from JSON-RPC; and servers that tell something else."""

from __future__ import annotations

import asyncio
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_hash.auto import keccak

from coordinator.evidence.blocks import BlockReader, FullBlock
from coordinator.evidence.gathering import EvidenceMaker
from coordinator.settlement.chain import JsonRpcChain, RpcRefused
from tests.contracts.chain_client import Chain
from tests.evidence.conftest import Scene
from tests.evidence.evidence_world import World
from verifier.contracts.compile import NODE_MODULES
from verifier.errors import Refused, Unavailable
from verifier.evidence.blocks import mined_in
from verifier.evidence.trie import position_key
from verifier.evidence.verification import verify_evidence

ANVIL = NODE_MODULES / "@foundry-rs" / "anvil-linux-amd64" / "bin" / "anvil"
GWEI = 10**9


@pytest.fixture(scope="module")
def anvil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    log = tmp_path_factory.mktemp("anvil") / "anvil.log"
    with log.open("w") as sink:
        process = subprocess.Popen([str(ANVIL), "--port", "0", "--hardfork", "osaka", "--accounts", "1"], stdout=sink)
    try:
        deadline = time.monotonic() + 60
        while not (found := re.search(r"Listening on (127\.0\.0\.1:\d+)", log.read_text())):
            assert process.poll() is None, "anvil ended before it listened"
            assert time.monotonic() < deadline, "anvil does not listen"
            time.sleep(0.05)  # its own process: nothing tells us but its log
        key = re.search(r"\(0\) (0x[0-9a-f]{64})", log.read_text())
        assert key is not None
        yield Chain.connect("anvil", f"http://{found[1]}", key[1])
    finally:
        process.terminate()
        process.wait(timeout=20)


def full_block(chain: Chain, number: int) -> FullBlock:
    async def run() -> FullBlock:
        rpc = JsonRpcChain(str(chain.web3.provider.endpoint_uri))  # type: ignore[attr-defined]
        try:
            return await BlockReader(rpc).full(number)
        finally:
            await rpc.close()

    return asyncio.run(run())


def _typed(chain: Chain, first: int) -> list[dict[str, Any]]:
    """A transaction of each type that a wallet signs: legacy, access list, fee market, set code; and a creation."""
    to = "0x" + "11" * 20
    head = {"chainId": chain.web3.eth.chain_id, "gas": 200_000, "value": 5, "data": b"\x01"}
    access = [{"address": to, "storageKeys": ["0x" + "00" * 31 + "07"]}]
    fees = {"maxFeePerGas": 10 * GWEI, "maxPriorityFeePerGas": GWEI}
    moved = chain.funded.sign_authorization({"chainId": 0, "address": to, "nonce": first + 9})
    return [
        {**head, "to": to, "gasPrice": 10 * GWEI},
        {**head, "to": to, "type": 1, "gasPrice": 10 * GWEI, "accessList": access},
        {**head, "to": to, **fees, "type": 2, "accessList": access},
        {**head, "to": to, **fees, "type": 4, "authorizationList": [moved]},
        {**head, **fees, "type": 2, "value": 0, "data": b"\x00"},
    ]


def _send_typed(chain: Chain) -> list[bytes]:
    first = chain.web3.eth.get_transaction_count(chain.funded.address)
    raws = []
    for at, transaction in enumerate(_typed(chain, first)):
        raws.append(bytes(chain.funded.sign_transaction({**transaction, "nonce": first + at}).raw_transaction))
        chain.web3.eth.send_raw_transaction(raws[-1])
    return raws


def test_typed_transactions_of_one_anvil_block(anvil: Chain) -> None:
    anvil.rpc("evm_setAutomine", False)
    raws = _send_typed(anvil)
    anvil.rpc("evm_mine")
    anvil.rpc("evm_setAutomine", True)
    block = full_block(anvil, anvil.web3.eth.block_number)
    assert len(block.inputs) == len(raws)
    assert block.hashes == tuple(keccak(raw) for raw in raws)
    for at, raw in enumerate(raws):
        mined = mined_in(block.header, at, *block.proofs(at))
        assert mined.transaction.hash == keccak(raw)
        assert mined.transaction.type == mined.receipt.type == (raw[0] if raw[0] < 0xC0 else 0)
        assert mined.transaction.chain_id == anvil.web3.eth.chain_id


def test_a_proof_of_one_position_is_none_of_another(anvil: Chain) -> None:
    number = anvil.web3.eth.block_number
    while anvil.web3.eth.get_block_transaction_count(number) < 3:
        number -= 1
    block = full_block(anvil, number)
    for at in (1, 2, 40):
        with pytest.raises(Refused):
            mined_in(block.header, at, *block.proofs(0))
    with pytest.raises(Refused):
        mined_in(block.header, 0, block.proofs(0)[0], block.proofs(1)[1])
    with pytest.raises(KeyError):
        block.transactions.prove(position_key(40))


def test_typed_transactions_of_our_chain(scene: Scene) -> None:
    chain = scene.world.chain
    for raw in _send_typed(chain):
        receipt = chain.web3.eth.wait_for_transaction_receipt(keccak(raw), timeout=60)
        block = full_block(chain, receipt["blockNumber"])
        mined = mined_in(block.header, receipt["transactionIndex"], *block.proofs(receipt["transactionIndex"]))
        assert mined.transaction.hash == keccak(raw)
        assert mined.receipt.succeeded == (receipt["status"] == 1)
        assert [log.address for log in mined.receipt.logs] == [bytes(log["address"]) for log in receipt["logs"]]


def test_every_block_of_our_chain(scene: Scene) -> None:
    for number in range(scene.world.chain.web3.eth.block_number + 1):
        assert full_block(scene.world.chain, number).header.hash == scene.world.block_hash(number)


def test_evidence_of_a_task_settled_on_anvil(anvil: Chain, tmp_path: Path) -> None:
    world = World.build(anvil, tmp_path)
    world.finality = "rpc-finalized"
    task = world.settle(world.project())
    found = world.make(lambda maker: maker.of_task(task.id))
    report = verify_evidence(
        found.encoded, trust=world.trust(finality_sources=["rpc-finalized"]), block_hash=world.block_hash
    )
    assert report.verdict == "VALID"


# --- servers that do not tell the truth ---


class Bent:
    """A server whose answers are bent on the way."""

    def __init__(self, inner: JsonRpcChain, bend: Callable[[str, Any], Any]) -> None:
        self._inner = inner
        self._bend = bend

    async def request(self, method: str, *params: Any) -> Any:
        return self._bend(method, await self._inner.request(method, *params))


def bent(scene: Scene, bend: Callable[[str, Any], Any]) -> bytes:
    world = scene.world

    def swap(maker: EvidenceMaker) -> Any:
        maker._rpc = Bent(maker._rpc, bend)  # type: ignore[arg-type]
        return maker.of_task(scene.first.id)

    return world.make(swap).encoded


def _block(change: Callable[[dict[str, Any]], None]) -> Callable[[str, Any], Any]:
    def bend(method: str, answer: Any) -> Any:
        if method == "eth_getBlockByNumber":
            change(answer)
        return answer

    return bend


def _receipts(change: Callable[[dict[str, Any]], None]) -> Callable[[str, Any], Any]:
    def bend(method: str, answer: Any) -> Any:
        if method == "eth_getBlockReceipts":
            for each in answer:
                change(each)
        return answer

    return bend


def _only(method: str, answer: Any) -> Callable[[str, Any], Any]:
    return lambda asked, real: answer if asked == method else real


@pytest.mark.parametrize(
    "bend",
    [
        _block(lambda block: block.update(stateRoot="0x" + "00" * 32)),
        _block(lambda block: block.update(receiptsRoot="0x" + "00" * 32)),
        _block(lambda block: block.pop("requestsHash")),
        _block(lambda block: block.pop("miner")),
        _block(lambda block: block.update(number="not a number")),
        _block(lambda block: block["transactions"].clear() if block["transactions"] else None),
        _block(lambda block: [tx.update(type="0x7e") for tx in block["transactions"] if isinstance(tx, dict)]),
        _block(lambda block: [tx.update(input="0x00") for tx in block["transactions"] if isinstance(tx, dict)]),
        _receipts(lambda receipt: receipt.update(status="0x0")),
        _receipts(lambda receipt: receipt.pop("logs")),
        _only("eth_getBlockByNumber", None),
        _only("eth_getBlockReceipts", None),
        _only("eth_getBlockReceipts", [None]),
        _only("eth_getLogs", []),
        _only("eth_getLogs", [{}]),
    ],
)
def test_a_server_that_bends_its_answers_is_found_out(scene: Scene, bend: Callable[[str, Any], Any]) -> None:
    with pytest.raises(Unavailable) as refused:
        bent(scene, bend)
    assert refused.value.code == "W3B-9007"


def test_a_server_without_all_receipts_at_once_does_too(scene: Scene) -> None:
    def refuse(method: str, answer: Any) -> Any:
        if method == "eth_getBlockReceipts":
            raise RpcRefused("the method does not exist", -32601)
        return answer

    assert bent(scene, refuse) == scene.task.encoded


def test_a_ledger_that_says_something_else_gives_no_evidence(scene: Scene) -> None:
    """What is handed out was verified first."""

    def forge(method: str, answer: Any) -> Any:
        if method == "eth_call":
            return answer[:-2] + ("00" if answer[-2:] != "00" else "01")
        return answer

    with pytest.raises(Refused):
        bent(scene, forge)
