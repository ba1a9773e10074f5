"""One web3.py and cast session, the same on our node and on anvil: what passes here is Ethereum's behaviour."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_abi import encode
from l1_assembly import REVERT_TEXT, counter_runtime, init_code
from l1_wallet import FEES, key, send, sign
from web3 import Web3
from web3.exceptions import ContractLogicError, TransactionNotFound, Web3RPCError

from l1.process import ChainProcess

BINARIES = Path(__file__).parents[2] / "node_modules" / "@foundry-rs"


def binary(name: str) -> str:
    """A Foundry tool of the project's npm dependencies (`npm ci`)."""
    path = BINARIES / f"{name}-linux-amd64" / "bin" / name
    if not path.exists():
        pytest.fail(f"{path.name} is absent: run `npm ci` in the project root")
    return str(path)


@pytest.fixture(scope="module")
def anvil() -> Iterator[str]:
    """anvil with Osaka rules and the same rich accounts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [binary("anvil"), "--hardfork", "osaka", "--port", str(port), "--chain-id", "4690", "--silent"]
    process = subprocess.Popen([*command, "--mixed-mining", "--block-time", "1", "--order", "fees"])
    try:
        client = Web3(Web3.HTTPProvider(f"http://127.0.0.1:{port}"))
        deadline = time.monotonic() + 30
        while not client.is_connected():
            assert time.monotonic() < deadline, "anvil does not answer"
            time.sleep(0.05)
        for number in range(1, 41):
            client.provider.make_request("anvil_setBalance", [key(number).address, hex(10**24)])
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module", params=["ours", "anvil"])
def endpoint(request: pytest.FixtureRequest) -> str:
    """JSON-RPC of the node under test."""
    if request.param == "anvil":
        return str(request.getfixturevalue("anvil"))
    running: ChainProcess = request.getfixturevalue("node")
    return running.rpc_url


@pytest.fixture(scope="module")
def client(endpoint: str) -> Web3:
    return Web3(Web3.HTTPProvider(endpoint))


@pytest.fixture(scope="module")
def counter(client: Web3) -> Any:
    receipt = send(client, key(1), data=init_code(counter_runtime()))
    assert receipt["status"] == 1
    assert client.eth.get_code(receipt["contractAddress"]) == counter_runtime()
    return receipt["contractAddress"]


def test_identity(client: Web3) -> None:
    assert client.eth.chain_id == 4690
    assert client.net.version == "4690"
    assert client.eth.syncing is False
    assert client.client_version
    assert client.is_connected(show_traceback=True)


def test_transact_logs_and_receipt(client: Web3, counter: Any) -> None:
    receipt = send(client, key(2), to=counter)
    value = int.from_bytes(client.eth.call({"to": counter}), "big") - 1
    assert receipt["status"] == 1
    assert receipt["to"] == counter
    assert int.from_bytes(receipt["logs"][0]["topics"][0], "big") == value
    assert client.eth.get_storage_at(counter, 0) == value.to_bytes(32, "big")
    transaction = client.eth.get_transaction(receipt["transactionHash"])
    assert transaction["from"] == key(2).address
    assert transaction["blockNumber"] == receipt["blockNumber"]
    block = client.eth.get_block(receipt["blockNumber"])
    assert block["transactions"][receipt["transactionIndex"]] == receipt["transactionHash"]
    by_index = client.eth.get_transaction_by_block(receipt["blockHash"], receipt["transactionIndex"])
    assert by_index["hash"] == receipt["transactionHash"]
    assert client.eth.get_block_transaction_count(receipt["blockNumber"]) == len(block["transactions"])
    of_block = client.eth.get_block_receipts(receipt["blockNumber"])
    assert dict(of_block[receipt["transactionIndex"]]) == dict(receipt)
    with pytest.raises(TransactionNotFound):
        client.eth.get_transaction_receipt(b"\x01" * 32)


def test_logs_by_topic_with_alternatives_and_block_hash(client: Web3, counter: Any) -> None:
    first = client.eth.block_number + 1
    receipts = [send(client, key(3), to=counter) for _ in range(3)]
    topics = ["0x" + receipt["logs"][0]["topics"][0].hex() for receipt in receipts]
    everything = client.eth.get_logs({"fromBlock": first, "address": counter})
    assert [log["transactionHash"] for log in everything] == [r["transactionHash"] for r in receipts]
    either = client.eth.get_logs({"fromBlock": first, "topics": [[topics[0], topics[2]]]})
    assert [log["transactionHash"] for log in either] == [receipts[i]["transactionHash"] for i in (0, 2)]
    anything = client.eth.get_logs({"fromBlock": first, "topics": [None]})
    assert len(anything) == 3
    assert client.eth.get_logs({"fromBlock": first, "address": key(9).address}) == []
    one = client.eth.get_logs({"blockHash": receipts[1]["blockHash"], "topics": [topics[1]]})
    assert [log["logIndex"] for log in one] == [receipts[1]["logs"][0]["logIndex"]]


def test_filters(client: Web3, counter: Any) -> None:
    logs, blocks = client.eth.filter({"address": counter}), client.eth.filter("latest")
    pending = client.eth.filter("pending")
    receipt = send(client, key(4), to=counter)
    assert [log["transactionHash"] for log in logs.get_new_entries()] == [receipt["transactionHash"]]
    assert logs.get_new_entries() == []
    assert receipt["transactionHash"] in [log["transactionHash"] for log in logs.get_all_entries()]
    assert receipt["blockHash"] in blocks.get_new_entries()
    assert receipt["transactionHash"] in pending.get_new_entries()
    assert client.eth.uninstall_filter(logs.filter_id)
    with pytest.raises(Web3RPCError, match="not found"):
        logs.get_new_entries()


def test_revert_reason_in_call_and_estimate(client: Web3, counter: Any) -> None:
    bad: Any = {"from": key(5).address, "to": counter, "value": 1}
    want = "0x08c379a0" + encode(["string"], [REVERT_TEXT]).hex()
    for attempt in (client.eth.call, client.eth.estimate_gas):
        with pytest.raises(ContractLogicError, match=REVERT_TEXT) as caught:
            attempt(bad)
        assert caught.value.data == want
    failed = send(client, key(5), to=counter, value=1)
    assert (failed["status"], failed["logs"]) == (0, [])


def test_estimate_is_enough_and_not_too_much(client: Web3, counter: Any) -> None:
    assert client.eth.estimate_gas({"from": key(6).address, "to": key(7).address, "value": 1}) == 21_000
    gas = client.eth.estimate_gas({"from": key(6).address, "to": counter})
    assert send(client, key(6), to=counter, gas=gas)["status"] == 1
    assert send(client, key(6), to=counter, gas=gas - 2_000)["status"] == 0


def test_fee_history_and_prices(client: Web3, counter: Any) -> None:
    send(client, key(8), to=counter)
    newest = client.eth.block_number
    history = client.eth.fee_history(3, newest, [10.0, 90.0])
    assert len(history["baseFeePerGas"]) == len(history["gasUsedRatio"]) + 1
    assert all(len(rewards) == 2 for rewards in history["reward"])
    fees = [
        client.eth.get_block(history["oldestBlock"] + i)["baseFeePerGas"] for i in range(len(history["gasUsedRatio"]))
    ]
    assert history["baseFeePerGas"][:-1] == fees
    assert client.eth.gas_price > 0
    assert client.eth.max_priority_fee > 0


def test_transaction_errors_are_the_words_that_clients_match(client: Web3, counter: Any) -> None:
    account = key(10)
    raw = sign(account, 4690, 5, to=counter)
    client.eth.send_raw_transaction(raw)
    attempts = [
        (raw, "already known|already imported"),
        (sign(account, 4690, 5, to=counter, value=1), "replacement transaction underpriced"),
        (sign(key(1), 4690, 0, to=counter), "nonce too low"),
        (sign(account, 4690, 0, to=counter, value=10**25), "(?i)insufficient funds for gas \\* price \\+ value"),
        (sign(account, 1, 0, to=counter), "(?i)invalid chain id"),
        (sign(account, 4690, 0, to=counter, gas=20_000), "(?i)intrinsic gas too low|insufficient gas for floor data"),
    ]
    for attempt, words in attempts:
        with pytest.raises(Web3RPCError, match=words):
            client.eth.send_raw_transaction(attempt)


def test_replacement_mines_only_the_better_paid(client: Web3, counter: Any) -> None:
    """A transaction that waits for a nonce gap is replaced at +10 %, then both nonces are mined."""
    account = key(11)
    old = client.eth.send_raw_transaction(sign(account, 4690, 1, to=counter))
    dearer = {name: fee * 11 // 10 for name, fee in FEES.items()}
    new = client.eth.send_raw_transaction(sign(account, 4690, 1, to=key(12).address, value=3, **dearer))
    client.eth.send_raw_transaction(sign(account, 4690, 0, to=counter))
    receipt = client.eth.wait_for_transaction_receipt(new, timeout=30, poll_latency=0.05)
    assert receipt["to"] == key(12).address
    with pytest.raises(TransactionNotFound):
        client.eth.get_transaction_receipt(old)
    assert client.eth.get_transaction_count(account.address) == 2


def test_eip7702_delegation_runs_the_contract_in_the_account(client: Web3, counter: Any) -> None:
    account = key(14)
    authorization = account.sign_authorization({"chainId": 4690, "address": counter, "nonce": 1})
    receipt = send(client, account, to=account.address, authorizationList=[authorization])
    assert (receipt["status"], receipt["type"]) == (1, 4)
    assert client.eth.get_code(account.address) == bytes.fromhex("ef0100" + counter[2:])
    assert int.from_bytes(client.eth.get_storage_at(account.address, 0), "big") == 1
    listed = client.eth.get_transaction(receipt["transactionHash"])["authorizationList"]
    assert listed[0]["address"] == counter
    assert send(client, account, to=key(15).address, value=1)["status"] == 1


def test_tags(client: Web3) -> None:
    earliest, latest = client.eth.get_block("earliest"), client.eth.get_block("latest")
    assert earliest["number"] == 0
    for tag in ("safe", "finalized"):
        assert client.eth.get_block(tag)["number"] <= client.eth.block_number
    assert client.eth.get_block("pending")["number"] >= latest["number"]
    assert client.eth.get_balance(key(20).address, "earliest") <= 10**24
    by_hash = client.eth.get_block(latest["hash"])
    assert by_hash["number"] == latest["number"]


def test_cast_speaks_to_it(endpoint: str, counter: Any) -> None:
    """cast estimates, signs, sends, waits, and reads back."""

    def cast(*arguments: str) -> str:
        command = [binary("cast"), *arguments, "--rpc-url", endpoint]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    secret = "0x" + (13).to_bytes(32, "big").hex()
    assert cast("chain-id") == "4690"
    sent = json.loads(cast("send", counter, "--private-key", secret, "--json"))
    assert int(sent["status"], 16) == 1
    assert int(cast("nonce", key(13).address)) == 1
    assert int(cast("storage", counter, "0"), 16) == int(cast("call", counter), 16) - 1
    assert json.loads(cast("proof", counter, "0", "--json"))["address"].lower() == counter.lower()
    command = [binary("cast"), "call", counter, "--value", "1", "--rpc-url", endpoint]
    failed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert failed.returncode != 0
    assert REVERT_TEXT in failed.stderr
