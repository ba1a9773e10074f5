"""What must hold: of several RPC servers one that lies, hangs or is behind changes no byte of a file and is named; where
two contradict each other there is no file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from coordinator.evidence.gathering import Evidence, EvidenceMaker
from coordinator.evidence.many_servers import rpc_of
from coordinator.settlement.chain import JsonRpcChain, RpcRefused
from coordinator.settlement.endpoints import Endpoint, EndpointLimits
from coordinator.settlement.many_chains import ManyChains
from coordinator.settlement.quorum import Quorum
from tests.evidence.conftest import Scene
from verifier.errors import Unavailable

Bend = Callable[[str, tuple[Any, ...], Any], Any]
LIMITS = EndpointLimits(seconds=60.0, hedge_seconds=5.0, failures=2, strikes=100)


def honest(_method: str, _params: tuple[Any, ...], answer: Any) -> Any:
    return answer


class Server(JsonRpcChain):
    """The real node, with answers bent on the way."""

    def __init__(self, url: str, bend: Bend) -> None:
        super().__init__(url, 60.0)
        self._bend = bend

    async def request(self, method: str, *params: Any) -> Any:
        return self._bend(method, params, await super().request(method, *params))


class Watched(Endpoint):
    """A server of which it is kept what it was blamed for: what is thought of it changes with its next answer."""

    def contradicted(self, what: str) -> None:
        """Note it."""
        self.blamed = True
        super().contradicted(what)


def made(scene: Scene, bends: Sequence[Bend]) -> tuple[Evidence, list[str]]:
    """The first task's file from servers that bend their answers so, and the servers that were blamed for it."""
    world = scene.world
    url = str(world.chain.web3.provider.endpoint_uri)  # type: ignore[attr-defined]

    async def run() -> tuple[Evidence, list[str]]:
        servers = [Watched(f"rpc {n}", Server(url, bend), LIMITS) for n, bend in enumerate(bends, 1)]
        chain = ManyChains(Quorum(servers))
        try:
            found = await EvidenceMaker(world.ledger, rpc_of(chain), world.deployment).of_task(scene.first.id)
            return found, [each.name for each in servers if hasattr(each, "blamed")]
        finally:
            await chain.close()
            await world.ledger.close()

    return asyncio.run(run())


def silent(_method: str, _params: tuple[Any, ...], _answer: Any) -> Any:
    raise Unavailable("W3B-5001", "it says nothing")


def other_style(method: str, _params: tuple[Any, ...], answer: Any) -> Any:
    """An honest server that writes hex in capitals and has fields of its own."""
    if isinstance(answer, dict) and "transactions" in answer:
        return {**answer, "totalDifficulty": "0x0", "hash": answer["hash"].upper().replace("0X", "0x")}
    if isinstance(answer, list) and method.startswith("eth_"):
        return [{**each, "mine": 1, "address": str(each.get("address", "")).upper()} for each in reversed(answer)]
    return answer


def behind(method: str, params: tuple[Any, ...], answer: Any) -> Any:
    """A server that has block 0 and no other."""
    if method == "eth_getBlockByNumber":
        return answer if params[0] == "0x0" else {**answer, "number": "0x0"} if params[0] == "latest" else None
    return {"eth_getLogs": [], "eth_getBlockReceipts": None}.get(method, answer)


def lying_logs(method: str, _params: tuple[Any, ...], answer: Any) -> Any:
    return [] if method == "eth_getLogs" else answer


def lying_receipts(method: str, _params: tuple[Any, ...], answer: Any) -> Any:
    return [{**each, "status": "0x0"} for each in answer] if method == "eth_getBlockReceipts" else answer


def lying_blocks(method: str, params: tuple[Any, ...], answer: Any) -> Any:
    bends = method == "eth_getBlockByNumber" and params[0] not in ("0x0", "latest")
    return {**answer, "stateRoot": "0x" + "00" * 32} if bends else answer


def lying_bodies(method: str, _params: tuple[Any, ...], answer: Any) -> Any:
    """The right hash over other transactions."""
    if method == "eth_getBlockByNumber" and answer["transactions"] and isinstance(answer["transactions"][0], dict):
        return {**answer, "transactions": [{**tx, "input": "0x00"} for tx in answer["transactions"]]}
    return answer


def lying_key(method: str, _params: tuple[Any, ...], answer: Any) -> Any:
    return answer[:-2] + ("00" if answer[-2:] != "00" else "01") if method == "eth_call" else answer


@pytest.mark.parametrize("liar", [lying_logs, lying_receipts, lying_blocks, lying_bodies, lying_key])
def test_one_liar_of_three_changes_nothing_and_is_named(scene: Scene, liar: Bend) -> None:
    found, told = made(scene, [liar, honest, honest])
    assert found.encoded == scene.task.encoded
    assert told == ["rpc 1"]


@pytest.mark.parametrize("others", [[honest], [honest, honest]])
@pytest.mark.parametrize("late", [silent, behind])
def test_a_server_that_is_silent_or_behind_takes_no_side(scene: Scene, late: Bend, others: list[Bend]) -> None:
    found, _ = made(scene, [late, *others])
    assert found.encoded == scene.task.encoded


def test_servers_may_write_the_same_in_their_own_way(scene: Scene) -> None:
    found, told = made(scene, [other_style, honest])
    assert found.encoded == scene.task.encoded
    assert told == []


@pytest.mark.parametrize("liar", [lying_receipts, lying_blocks, lying_key])
def test_two_that_contradict_each_other_give_no_file(scene: Scene, liar: Bend) -> None:
    with pytest.raises(Unavailable, match="W3B-5012"):
        made(scene, [honest, liar])


def test_what_only_one_of_three_says_is_no_answer(scene: Scene) -> None:
    with pytest.raises(Unavailable, match=r"W3B-5001|W3B-5013"):
        made(scene, [silent, silent, honest])


def test_servers_without_all_receipts_at_once_do_too(scene: Scene) -> None:
    def lacking(method: str, _params: tuple[Any, ...], answer: Any) -> Any:
        if method == "eth_getBlockReceipts":
            raise RpcRefused("the method does not exist", -32601)
        return answer

    for bends in ([lacking, lacking, honest], [lacking, lacking, lacking], [lacking, honest]):
        assert made(scene, bends)[0].encoded == scene.task.encoded
