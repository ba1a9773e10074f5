"""What must hold: a web page cannot use the node unless it was allowed, and no batch can hold it for long."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from l1.chain.genesis import load_genesis
from l1.node import Node, NodeSettings
from l1.process import ChainProcess
from l1.rpc.server import RpcLimits, RpcServer

WALLET = "https://wallet.example"
BODY = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}).encode()


@pytest.fixture(scope="module")
def open_node(tmp_path_factory: pytest.TempPathFactory, genesis_path: Path) -> Iterator[ChainProcess]:
    """A node that one web origin may call."""
    options = ["--allow-origin", WALLET]
    with ChainProcess(tmp_path_factory.mktemp("open"), genesis_path, options=options) as running:
        yield running


def ask(node: ChainProcess, headers: dict[str, str], method: str = "POST") -> tuple[int, dict[str, str]]:
    body = BODY if method == "POST" else None
    request = urllib.request.Request(node.rpc_url, body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, dict(response.headers)
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers)


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("text/plain", 415),
        ("text/plain; application/json", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/jsonp", 415),
        ("", 415),
    ],
)
def test_only_json_is_taken(node: ChainProcess, content_type: str, status: int) -> None:
    assert ask(node, {"Content-Type": content_type})[0] == status


def test_no_web_page_is_answered_by_default(node: ChainProcess) -> None:
    for origin in ("https://evil.example", "null", "http://127.0.0.1", ""):
        assert ask(node, {"Content-Type": "application/json", "Origin": origin})[0] == 403
        assert ask(node, {"Origin": origin, "Access-Control-Request-Method": "POST"}, "OPTIONS")[0] == 403


def test_an_allowed_origin_is_answered_and_no_other(open_node: ChainProcess) -> None:
    status, headers = ask(open_node, {"Content-Type": "application/json", "Origin": WALLET})
    assert (status, headers["Access-Control-Allow-Origin"], headers["Vary"]) == (200, WALLET, "Origin")
    status, headers = ask(open_node, {"Origin": WALLET, "Access-Control-Request-Method": "POST"}, "OPTIONS")
    assert (status, headers["Access-Control-Allow-Headers"]) == (204, "Content-Type")
    for origin in (WALLET + ".evil.example", "http://wallet.example", WALLET + "/"):
        assert ask(open_node, {"Content-Type": "application/json", "Origin": origin})[0] == 403
    assert ask(open_node, {"Content-Type": "application/json"})[0] == 200


async def test_a_batch_of_endless_loops_ends_with_its_time(tmp_path: Path, genesis_path: Path) -> None:
    """`JUMPDEST PUSH0 JUMP` as init code burns all the gas of each call."""
    limits = RpcLimits(batch_seconds=0.5)
    loop = {"jsonrpc": "2.0", "method": "eth_call", "params": [{"data": "0x5b5f56"}, "latest"]}
    batch = [{**loop, "id": number} for number in range(1000)]
    settings = NodeSettings(data_dir=tmp_path / "chain", genesis=load_genesis(genesis_path, None), rpc=limits)
    async with Node(settings) as node, aiohttp.ClientSession() as session:
        began = time.monotonic()
        async with session.post(node.rpc_url, json=batch) as response:
            answers = await response.json()
        took = time.monotonic() - began
    codes = [answer["error"]["code"] for answer in answers]
    assert [answer["id"] for answer in answers] == list(range(1000))
    assert codes[0] == -32000
    assert codes[-1] == -32005
    assert codes == sorted(codes, reverse=True)
    assert took < 10


async def test_notifications_past_the_time_get_no_answer() -> None:
    async def slow(_values: list[Any]) -> str:
        await asyncio.sleep(0.1)
        return "done"

    server = RpcServer({"slow": slow}, RpcLimits(batch_seconds=0.05), frozenset())
    call = {"jsonrpc": "2.0", "method": "slow", "params": []}
    answer = await server.answer(json.dumps([{**call, "id": 1}, call, {**call, "id": 2}, 7]).encode())
    assert answer is not None
    found = [(each["id"], each.get("result"), each.get("error", {}).get("code")) for each in json.loads(answer)]
    assert found == [(1, "done", None), (2, None, -32005), (None, None, -32005)]
