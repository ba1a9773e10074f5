"""The same verdicts on anvil, an executor of others, as on ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from light_chain import ARTIFACT, advance_call, creation, final_call, pack, point_of
from light_headers import CHAIN, PARAMETERS, header, set_of, signed

from l1.consensus.messages import domain_of
from l1.nodes.keys import derive
from tests.contracts.chain_client import Chain
from tests.contracts.conftest import _anvil

KEYS, NEXT = derive(b"a" * 32, 24), derive(b"b" * 32, 24)
GAS = 12_000_000


@pytest.fixture(scope="module")
def anvil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    yield from _anvil(tmp_path_factory.mktemp("anvil"))


def ask(chain: Chain, to: str, data: bytes) -> bytes | str:
    """What a call returns, or the name of the error that refuses it."""
    reply: dict[str, Any] = chain.rpc("eth_call", {"to": to, "data": "0x" + data.hex(), "gas": hex(GAS)}, "latest")
    if "error" not in reply:
        return bytes.fromhex(reply["result"][2:])
    return ARTIFACT.error_name(bytes.fromhex(reply["error"]["data"][2:]))


def test_anvil_accepts_and_refuses_alike(anvil: Chain) -> None:

    delegates, following, domain = set_of(KEYS, (3,) * 24), set_of(NEXT, (5,) * 24), domain_of(CHAIN, bytes(32))
    code = creation(PARAMETERS, CHAIN, bytes(32), delegates)
    address = anvil.send(anvil.funded, None, code, GAS)["contractAddress"]
    block = header(10, following.root(), anvil.now())
    footer = signed(block, KEYS, tuple(range(17)), domain)
    point = point_of(footer)
    output = ask(anvil, address, final_call(block, footer, point))
    assert isinstance(output, bytes)
    assert ARTIFACT.decode_result("requireFinal", output)[0][1] == 10
    few = signed(block, KEYS, tuple(range(16)), domain)
    assert ask(anvil, address, final_call(block, few, point_of(few))) == "PowerInsufficient"
    assert ask(anvil, address, final_call(block, footer, point_of(few))) == "SignatureInvalid"
    assert ask(anvil, address, final_call(block, footer[:-1] + b"\x07", point)) == "SignatureInvalid"
    assert ask(anvil, address, final_call(header(21, bytes(32)), footer, point)) == "EpochUnknown"
    assert ask(anvil, address, advance_call(block, footer, point, pack(delegates))) == "SetMismatch"
    anvil.send(anvil.funded, address, advance_call(block, footer, point, pack(following)), GAS)
    assert ask(anvil, address, final_call(block, footer, point)) == "HeaderOld"
    first = header(11, following.root(), anvil.now())
    footer = signed(first, NEXT, tuple(range(24)), domain)
    assert isinstance(ask(anvil, address, final_call(first, footer, point_of(footer))), bytes)
