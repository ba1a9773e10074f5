"""JSON-RPC edges: malformed requests, batches, limits, and what our chain answers beyond Ethereum's methods."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from l1_assembly import counter_runtime, init_code
from l1_wallet import key, send
from web3 import Web3

from l1.process import ChainProcess


def post(node: ChainProcess, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    request = urllib.request.Request(node.rpc_url, body, {"Content-Type": "application/json", **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            text = response.read()
            return response.status, json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        return error.code, None


def ask(node: ChainProcess, method: str, *params: Any) -> Any:
    return post(node, json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode())[1]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        (b"[" * 100_000, -32700),
        (b"[]", -32600),
        (b"1", -32600),
        (b'{"id":1}', -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"eth_chainId"}', -32600),
        (b'{"jsonrpc":"2.0","id":{},"method":"eth_chainId"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":7}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_sign","params":[]}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":{}}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[1]}', -32602),
    ],
)
def test_malformed_requests(node: ChainProcess, body: bytes, code: int) -> None:
    status, answer = post(node, body)
    assert status == 200
    assert answer["error"]["code"] == code


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("eth_getBalance", ["0x12", "latest"]),
        ("eth_getBalance", ["0x" + "zz" * 20, "latest"]),
        ("eth_getBalance", []),
        ("eth_getBalance", ["0x" + "00" * 20, "newest"]),
        ("eth_getBalance", ["0x" + "00" * 20, "0x01"]),
        ("eth_getBalance", ["0x" + "00" * 20, {"blockHash": "0x12"}]),
        ("eth_getStorageAt", ["0x" + "00" * 20, "0x" + "0" * 65]),
        ("eth_getBlockByNumber", ["0x0", "yes"]),
        ("eth_call", ["0x"]),
        ("eth_call", [{"to": "0x" + "00" * 20, "data": "0x123"}]),
        ("eth_call", [{"value": "0x1" + "0" * 64}]),
        ("eth_call", [{}, "latest", {"0x" + "00" * 20: {"balance": "0x1"}}]),
        ("eth_getLogs", [{"topics": ["0x12"]}]),
        ("eth_getLogs", [{"address": "0x12"}]),
        ("eth_getLogs", [{"topics": [None] * 5}]),
        ("eth_sendRawTransaction", ["02f8"]),
        ("eth_getProof", ["0x" + "00" * 20, ["0x0"] * 2000]),
    ],
)
def test_malformed_parameters(node: ChainProcess, method: str, params: list[Any]) -> None:
    assert ask(node, method, *params)["error"]["code"] == -32602


@pytest.mark.parametrize("raw", ["0x", "0x01", "0x02c0", "0x03c0", "0xc0", "0x" + "ff" * 100])
def test_malformed_transactions(node: ChainProcess, raw: str) -> None:
    assert ask(node, "eth_sendRawTransaction", raw)["error"]["code"] == -32000


def test_batch_keeps_order_and_answers_no_notification(node: ChainProcess) -> None:
    calls: list[Any] = [
        {"jsonrpc": "2.0", "id": "a", "method": "eth_chainId"},
        {"jsonrpc": "2.0", "method": "eth_chainId"},
        7,
        {"jsonrpc": "2.0", "id": None, "method": "net_version", "params": None},
    ]
    _, answers = post(node, json.dumps(calls).encode())
    assert [answer["id"] for answer in answers] == ["a", None, None]
    assert (answers[0]["result"], answers[1]["error"]["code"], answers[2]["result"]) == ("0x1252", -32600, "4690")
    assert post(node, json.dumps(calls[1:2]).encode()) == (204, None)
    assert post(node, json.dumps([calls[0]] * 1001).encode())[1]["error"]["code"] == -32600


def test_oversize_bodies_and_foreign_hosts_are_refused(node: ChainProcess) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}).encode()
    assert post(node, body + b" " * (6 * 1024 * 1024))[0] == 413
    assert post(node, body, {"Host": "evil.example"})[0] == 403
    assert post(node, body, {"Host": "localhost:1"})[1]["result"] == "0x1252"
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(node.rpc_url, timeout=10)


def test_ranges_unknown_blocks_and_filters(node: ChainProcess) -> None:
    assert ask(node, "eth_getBlockByNumber", "0xffffff", False)["result"] is None
    assert ask(node, "eth_getBlockByHash", "0x" + "11" * 32, False)["result"] is None
    assert ask(node, "eth_getBalance", "0x" + "00" * 20, "0xffffff")["error"]["message"] == "header not found"
    assert ask(node, "eth_getLogs", {"fromBlock": "0x2", "toBlock": "0x1"})["error"]["code"] == -32000
    assert ask(node, "eth_getLogs", {"blockHash": "0x" + "11" * 32})["error"]["message"] == "unknown block"
    assert ask(node, "eth_getFilterChanges", "0x1")["error"]["message"] == "filter not found"
    assert ask(node, "eth_uninstallFilter", "0x1")["result"] is False
    assert ask(node, "eth_feeHistory", "0x1", "latest", [50, 10])["error"]["code"] == -32000


def test_state_at_an_older_block_and_on_pending(node: ChainProcess) -> None:
    web3 = Web3(Web3.HTTPProvider(node.rpc_url))
    receiver = Web3.to_checksum_address("0x" + "ab" * 20)
    first = send(web3, key(30), to=receiver, value=5)["blockNumber"]
    send(web3, key(30), to=receiver, value=6)
    assert web3.eth.get_balance(receiver, first) == 5
    assert web3.eth.get_balance(receiver, first - 1) == 0
    assert web3.eth.get_balance(receiver, {"blockNumber": hex(first)}) == 5
    assert web3.eth.get_balance(receiver, "pending") == 11
    assert web3.eth.get_transaction_count(key(30).address, first) == 1


def test_a_log_with_fewer_topics_than_positions_does_not_match(node: ChainProcess) -> None:
    """geth's rule; anvil answers such logs."""
    web3 = Web3(Web3.HTTPProvider(node.rpc_url))
    counter = send(web3, key(31), data=init_code(counter_runtime()))["contractAddress"]
    send(web3, key(31), to=counter)
    assert len(web3.eth.get_logs({"fromBlock": 0, "address": counter, "topics": [None]})) == 1
    assert web3.eth.get_logs({"fromBlock": 0, "address": counter, "topics": [None, None]}) == []


def test_our_own_answers(node: ChainProcess) -> None:
    assert ask(node, "eth_accounts")["result"] == []
    assert ask(node, "net_listening")["result"] is True
    assert ask(node, "txpool_status")["result"] == {"pending": "0x0", "queued": "0x0"}
    assert ask(node, "w3b_finality")["result"]["source"] == "single-producer"
    assert ask(node, "web3_sha3", "0x")["result"].startswith("0xc5d24601")


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["eth_call", "eth_getLogs", "eth_getBalance", "eth_feeHistory", "eth_getProof", "eth_newFilter"]),
    st.lists(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["latest", "0x1"]),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["to", "topics", "address", "fromBlock", "value"]), inner, max_size=3)
            ),
            max_leaves=6,
        ),
        max_size=4,
    ),
)
def test_no_parameters_make_an_internal_error(node: ChainProcess, method: str, params: list[Any]) -> None:
    answer = ask(node, method, *params)
    assert answer.get("error", {}).get("code") != -32603, answer


def test_command_line_teaches_and_refuses() -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "l1", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert "example:" in run("--help").stdout
    assert run().returncode == 2
    wrong = run("--data-dir", "unused", "--genesis", "absent.json")
    assert wrong.returncode == 2
    assert "absent.json" in wrong.stderr
