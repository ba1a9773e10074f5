"""Delegates and geth: blocks that geth builds and executes, decided, certified, on disk, there again after a restart."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from engine_host import HostProcess, is_running, kill, until
from engine_world import COUNTER, SENDERS, genesis, signed

from l1.chain.blockchain import Blockchain
from l1.chain.genesis import Genesis
from l1.chain.system_contracts import with_request_contracts
from l1.consensus.certificate import check
from l1.consensus.delegates import MAX_DELEGATES
from l1.consensus.messages import domain_of
from l1.engine.__main__ import main
from l1.engine.chain import GethChain, stored_genesis
from l1.engine.host import Host, HostSettings
from l1.engine.process import VARIABLE, GethProcess, GethSettings
from l1.engine.rpc import AnswerError
from l1.nodes.devnet_genesis import with_devnet
from l1.staking.contract import STAKING_ADDRESS


@pytest.fixture
def genesis_path(tmp_path: Path) -> Path:
    """The tests' genesis as a file."""
    path = tmp_path / "genesis.json"
    path.write_text(genesis().to_json())
    return path


def send(host: HostProcess, nonce: int) -> dict[str, Any]:
    """Count once more, through the host's port, and wait for the receipt."""
    raw = "0x" + signed(SENDERS[0], nonce, to=COUNTER).encoded.hex()
    sent = host.rpc.call("eth_sendRawTransaction", raw)
    return receipt_of(host, sent)


def receipt_of(host: HostProcess, sent: str) -> dict[str, Any]:
    """A transaction's receipt, once it is there; a geth that has just started indexes first."""

    def asked() -> Any:
        try:
            return host.rpc.call("eth_getTransactionReceipt", sent)
        except AnswerError as error:
            if "indexing is in progress" in str(error):
                return None
            raise

    found: dict[str, Any] = until(asked)
    return found


def count(host: HostProcess) -> int:
    """The counter's slot, as geth has it."""
    return int(host.rpc.call("eth_getStorageAt", "0x" + COUNTER.hex(), "0x0", "latest"), 16)


@pytest.mark.slow
def test_geth_executes_what_delegates_decide(geth: Path, tmp_path: Path, genesis_path: Path) -> None:
    """A transaction sent to geth's pool is final with a certificate; after SIGTERM and a restart everything is there,
    and our own executor comes to the same states from the same store."""
    folder = tmp_path / "chain"
    with HostProcess(folder, geth, "--genesis", str(genesis_path), "--delegates", "4") as host:
        assert json.loads((folder / "node.json").read_text()) == host.ready
        assert (host.ready["delegates"], host.ready["finality_source"]) == (4, "bls")
        receipt = send(host, 0)
        assert receipt["status"] == "0x1"
        number = receipt["blockNumber"]
        assert int(host.rpc.call("eth_getBlockByNumber", "finalized", False)["number"], 16) >= int(number, 16)
        certificate = host.rpc.call("w3b_getCertificate", number)
        assert certificate["hash"] == receipt["blockHash"]
        assert len(certificate["signers"]) >= 3
        with pytest.raises(RuntimeError, match=r"already known|nonce too low"):
            host.rpc.call("eth_sendRawTransaction", "0x" + signed(SENDERS[0], 0, to=COUNTER).encoded.hex())
        with pytest.raises(AnswerError, match="execution reverted") as reverted:
            host.rpc.call(
                "eth_call", {"to": "0x" + COUNTER.hex(), "value": "0x1", "from": SENDERS[1].address}, "latest"
            )
        assert reverted.value.code == 3
        assert str(reverted.value.data).startswith("0x08c379a0")
        with pytest.raises(AnswerError, match="not available"):
            host.rpc.call("testing_commitBlockV1")
        assert host.stop()[0] == 0
    assert not (folder / "node.json").exists()
    assert not is_running(host.ready["geth_pid"])
    with HostProcess(folder, geth) as again:
        assert again.ready["genesis_hash"] == host.ready["genesis_hash"]
        assert again.ready["head"] >= int(number, 16)
        assert receipt_of(again, receipt["transactionHash"]) == receipt
        assert again.rpc.call("w3b_getCertificate", number) == certificate
        assert send(again, 1)["status"] == "0x1"
        assert count(again) == 2
        assert again.stop()[0] == 0
    chain = Blockchain(folder, None)
    try:
        assert chain.head_number >= again.ready["head"]
        domain = domain_of(chain.chain_id, chain.hash_of(0))
        for height in range(1, chain.head_number + 1):
            decided = chain.certificate(height)
            assert decided is not None
            check(decided, chain.delegates_at(height), domain)
        assert chain.view(chain.head_number).storage(COUNTER, 0) == 2
    finally:
        chain.close()


@pytest.mark.slow
def test_a_killed_geth_and_a_killed_host_lose_nothing(geth: Path, tmp_path: Path, genesis_path: Path) -> None:
    """SIGKILL to geth ends the host with geth's last words; SIGKILL to the host ends geth; without geth's folder the
    blocks come from the store."""
    folder = tmp_path / "chain"
    with HostProcess(folder, geth, "--genesis", str(genesis_path), "--delegates", "1") as host:
        first = send(host, 0)
        kill(host.ready["geth_pid"])
        status, errors = host.ended()
        assert (status, "geth ended with status -9" in errors) == (2, True)
    with HostProcess(folder, geth) as host:
        assert receipt_of(host, first["transactionHash"]) == first
        second = send(host, 1)
        kill(host.process.pid)
        until(lambda: not is_running(host.ready["geth_pid"]))
    shutil.rmtree(folder / "geth")
    with HostProcess(folder, geth) as host:
        for receipt in (first, second):
            assert receipt_of(host, receipt["transactionHash"]) == receipt
        assert count(host) == 2


@pytest.mark.slow
async def test_elections_happen_on_geth(geth: Path, tmp_path: Path) -> None:
    """Over three epochs the polls' system calls come first and succeed, and the base fees are paid to the pool."""
    first = with_request_contracts(with_devnet(genesis(), tmp_path, 4, 4))
    async with Host(HostSettings(tmp_path, geth, first, idle=1.0)) as host:
        chain, nonce = host.chain, 0
        while chain.head_number < 10:
            raw = "0x" + signed(SENDERS[0], nonce, to=COUNTER).encoded.hex()
            await asyncio.to_thread(host.geth.engine.rpc.call, "eth_sendRawTransaction", raw)
            nonce, head = nonce + 1, chain.head_number
            while chain.head_number == head:
                await asyncio.sleep(0.05)  # until the next block
    system = paid = 0
    again = Blockchain(tmp_path, None)
    try:
        for height in range(1, again.head_number + 1):
            stored, parent = again.block(height), again.block(height - 1)
            assert stored is not None
            assert parent is not None
            calls = [each for each in stored.block.transactions if each.to == STAKING_ADDRESS]
            assert stored.block.transactions[: len(calls)] == calls or len(calls) == len(stored.block.transactions)
            assert all(each.sender == stored.block.beneficiary for each in calls)
            assert all(each.status for each in stored.receipts)
            system += len(calls)
            fees = parent.block.base_fee_per_gas * parent.block.gas_used // 10**9
            assert [each[2:] for each in stored.block.withdrawals] == ([(STAKING_ADDRESS, fees)] if fees else [])
            paid += fees
        assert system >= 3
        assert paid > 0
        assert set(again.delegates_at(9).members) == set(again.delegates_at(1).members), "only their order changes"
    finally:
        again.close()


@pytest.fixture
def stopped(geth: Path, tmp_path: Path) -> Path:
    """A folder with a chain of some blocks, without any process."""
    first = with_request_contracts(with_devnet(genesis(), tmp_path, 1))

    async def some_blocks() -> None:
        async with Host(HostSettings(tmp_path, geth, first, idle=0.5)) as host:
            while host.chain.head_number < 2:
                await asyncio.sleep(0.05)  # until two blocks are there

    asyncio.run(some_blocks())
    return tmp_path


def opened(geth: Path, folder: Path, named: Genesis | None = None) -> int:
    """Open the chain as a restart does; the head."""
    known = stored_genesis(folder)
    assert known is not None
    with GethProcess(known, GethSettings(geth, folder / "geth")) as process:
        chain = GethChain(folder, named, process.engine)
        head = chain.head_number
        chain.close()
        return head


def edit(folder: Path, statement: str, *values: Any) -> None:
    """Change the store behind the chain's back."""
    connection = sqlite3.connect(folder / "chain.sqlite")
    with connection:
        connection.execute(statement, values)
    connection.close()


def test_what_is_damaged_is_found_at_the_restart(geth: Path, stopped: Path) -> None:
    """A certificate that does not hold or is gone, a block that was changed, another genesis, another chain's geth."""
    head = opened(geth, stopped)
    with pytest.raises(RuntimeError, match="another genesis"):
        opened(geth, stopped, genesis())
    footer = (
        sqlite3.connect(stopped / "chain.sqlite").execute("SELECT footer FROM footers WHERE number = 1").fetchone()[0]
    )
    edit(stopped, "UPDATE footers SET footer = ? WHERE number = 1", footer[:50] + bytes([footer[50] ^ 1]) + footer[51:])
    with pytest.raises(RuntimeError, match="certificate of block 1 does not hold"):
        opened(geth, stopped)
    edit(stopped, "DELETE FROM footers WHERE number = 1")
    with pytest.raises(RuntimeError, match="block 1 has no certificate"):
        opened(geth, stopped)
    edit(stopped, "INSERT INTO footers VALUES (1, ?)", footer)
    assert opened(geth, stopped) == head

    edit(stopped, "DELETE FROM blocks WHERE number = ?", head)
    with pytest.raises(RuntimeError, match="delete geth's folder"):
        opened(geth, stopped)
    shutil.rmtree(stopped / "geth")
    assert opened(geth, stopped) == head - 1
    shutil.rmtree(stopped / "geth")
    edit(stopped, "UPDATE blocks SET block = substr(block, 1, length(block) - 1) WHERE number = 1")
    with pytest.raises(RuntimeError, match="stored block 1 is damaged"):
        opened(geth, stopped)
    edit(stopped, "UPDATE blocks SET number = 90 WHERE number = (SELECT max(number) FROM blocks)")
    edit(stopped, "DELETE FROM blocks WHERE number BETWEEN 1 AND 89")
    with pytest.raises(RuntimeError, match="begins at a snapshot"):
        opened(geth, stopped)


def test_nothing_is_rolled_back(geth: Path, stopped: Path) -> None:
    """Every block that geth was given is final."""
    known = stored_genesis(stopped)
    assert known is not None
    with GethProcess(known, GethSettings(geth, stopped / "geth")) as process:
        chain = GethChain(stopped, None, process.engine)
        with pytest.raises(RuntimeError, match="final"):
            chain.rollback(0)
        chain.close()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--delegates", "0"], f"from 1 to {MAX_DELEGATES}"),
        (["--chain-id", "x"], "no whole number"),
        (["--interval", "soon"], "no number of seconds"),
        (["--port", "65536"], "no whole number"),
    ],
)
def test_usage_that_is_wrong_is_told(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is made."""
    with pytest.raises(SystemExit) as raised:
        main(["--data-dir", "/nonexistent", *options])
    assert raised.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"), [(["--interval", "0.5"], "two blocks of one second"), (["--idle", "0"], "above 0")]
)
def test_times_that_cannot_be_are_told(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In words, and as JSON."""
    assert main(["--data-dir", "/nonexistent", *options]) == 2
    assert said in capsys.readouterr().err
    assert main(["--data-dir", "/nonexistent", *options, "--json"]) == 2
    assert said in json.loads(capsys.readouterr().err)["error"]["message"]


def test_without_geth_it_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The option, the variable and PATH, in this order."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["--data-dir", str(tmp_path / "chain")]) == 2
    assert "go install github.com/ethereum/go-ethereum/cmd/geth@v1.17.8" in capsys.readouterr().err
    monkeypatch.setenv(VARIABLE, "/nonexistent/geth")
    assert main(["--data-dir", str(tmp_path / "chain")]) == 2
    assert "/nonexistent/geth" in capsys.readouterr().err
    assert main(["--data-dir", str(tmp_path / "chain"), "--geth", "/bin/false"]) == 2
    assert "did not take the genesis" in capsys.readouterr().err


def test_a_genesis_that_is_none_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As `python -m l1` does."""
    (tmp_path / "genesis.json").write_text('{"chainId": 4690, "allocc": {}}')
    assert (
        main(["--data-dir", str(tmp_path / "c"), "--geth", "/bin/false", "--genesis", str(tmp_path / "genesis.json")])
        == 2
    )
    assert "allocc" in capsys.readouterr().err
