"""The parts of settlement that need no chain, and the JSON-RPC client against a server that misbehaves."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from coordinator.ledger.outbox_tables import NonceRow, OutboxTxRow
from coordinator.ledger.store import Ledger
from coordinator.settlement import outbox
from coordinator.settlement.batches import BatchItem, first_bad, items_of, ref_of
from coordinator.settlement.chain import GWEI, Fees, JsonRpcChain, Reverted, RpcRefused
from coordinator.settlement.signer import KeyFileSigner
from coordinator.settlement.verdicts import Verdict, judge, retry_delay
from tests.settlement.rpc_server import replying
from verifier.bindings import Revert
from verifier.errors import InvalidInput, Unavailable

Answer = Callable[[dict[str, Any]], Any]


# --- batches ---


@given(count=st.integers(1, 200), data=st.data())
def test_first_bad_finds_the_first_of_any_bad_items(count: int, data: st.DataObject) -> None:
    bad = data.draw(st.sets(st.integers(0, count - 1)))
    calls = 0

    async def refusal(upto: int) -> Revert | None:
        nonlocal calls
        calls += 1
        first = min(bad, default=count)
        return Revert("Bad", {"index": first}) if first < upto else None

    found = asyncio.run(first_bad(count, refusal))
    if bad:
        assert found == (min(bad), Revert("Bad", {"index": min(bad)}))
    else:
        assert found is None
    assert calls <= 1 + count.bit_length()


def test_a_batch_s_ref_gives_its_items_back_in_the_contract_s_order() -> None:
    items = [BatchItem("assignments", 7), BatchItem("tasks", "0x01"), BatchItem("statuses", "0xaa", "IDLE")]
    assert items_of(json.loads(json.dumps(ref_of(items)))) == items[::-1]


# --- who is next ---


async def test_what_waits_for_longer_than_anything_may_is_due(ledger_url: str) -> None:
    """Its time was written before the clock was set back."""
    now, ledger = 10**12, Ledger(ledger_url)
    waits = {"due": 0, "waits": 60_000, "was to wait": 60_001, "for hours": 7_200_000}
    async with ledger.transaction() as session:
        for key, wait in waits.items():
            session.add(
                OutboxTxRow(
                    dedupe_key=key,
                    purpose="settle",
                    ref={},
                    to="0x",
                    data=b"",
                    next_at=now + wait,
                    created_at=1,
                    updated_at=1,
                )
            )
    async with ledger.reading() as session:
        found = await outbox.ready(session, now, 9, chain_id=4690)
    assert [row.dedupe_key for row, _ in found] == ["due", "was to wait", "for hours"]
    await ledger.close()


# --- verdicts ---


def test_only_a_known_error_counts_as_done() -> None:
    assert judge("settle", "AlreadyVerified") is Verdict.DONE
    assert judge("apply_batch", "AlreadyVerified") is Verdict.REFUSE
    assert judge("settle", "ProofRefused") is Verdict.REFUSE
    assert judge("settle", "") is Verdict.REFUSE
    assert judge("settle", "ProjectInactive") is Verdict.RETRY


def test_waiting_grows_to_a_minute() -> None:
    assert [retry_delay(tries) for tries in (0, 1, 5, 6, 1000)] == [1.0, 2.0, 32.0, 60.0, 60.0]


# --- nonces ---


@pytest.fixture
async def ledger(ledger_url: str) -> AsyncIterator[Ledger]:
    made = Ledger(ledger_url)
    yield made
    await made.close()


@pytest.mark.parametrize(
    ("held", "mined", "expected"),
    [
        ([], 0, 0),
        ([], 7, 7),
        ([7, 8], 7, 9),
        ([8, 9], 7, 7),
        ([7, 9], 7, 8),
        ([3, 4], 7, 7),
    ],
)
async def test_the_lowest_free_nonce_is_taken(ledger: Ledger, held: list[int], mined: int, expected: int) -> None:
    async with ledger.transaction() as session:
        for nonce in held:
            session.add(
                OutboxTxRow(
                    dedupe_key=str(nonce),
                    purpose="settle",
                    ref={},
                    to="",
                    data=b"",
                    state="SENT",
                    sender="0xme",
                    nonce=nonce,
                    created_at=0,
                    updated_at=0,
                )
            )
        await session.flush()
        assert await outbox.reserve_nonce(session, 1, "0xother", mined) == mined
        assert await outbox.reserve_nonce(session, 1, "0xme", mined) == expected
        row = await session.get_one(NonceRow, (1, "0xme"))
        assert row.next_nonce == expected + 1


# --- the key file ---


def test_the_key_file_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "coordinator.json"
    first = KeyFileSigner.at(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert KeyFileSigner.at(path).address == first.address
    assert list(path.parent.iterdir()) == [path], "no draft is left"
    secret = json.loads(path.read_text())["private_key"]
    assert secret[2:] not in repr(first) + str(first)
    assert json.loads(path.read_text())["address"] == first.address


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "coordinator.json"
    KeyFileSigner.at(path)
    path.chmod(mode)
    with pytest.raises(InvalidInput, match="W3B-5006"):
        KeyFileSigner.at(path)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"private_key": "0x1234"}', '{"private_key": 5}', "not json"])
def test_a_broken_key_file_is_refused_without_quoting_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "coordinator.json"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(InvalidInput, match="W3B-5006") as caught:
        KeyFileSigner.at(path)
    assert caught.value.__cause__ is None
    assert "1234" not in str(caught.value)


def test_a_signature_recovers_to_the_account_and_is_deterministic() -> None:
    signer = KeyFileSigner(b"\x07" * 32)
    asked: dict[str, Any] = {
        "chain_id": 4690,
        "nonce": 3,
        "to": "0x" + "ab" * 20,
        "data": b"\x01\x02",
        "gas": 21_000,
        "fees": Fees(2 * GWEI, GWEI),
    }
    signed = signer.sign(**asked)
    assert signer.sign(**asked) == signed
    assert Account.recover_transaction(signed.raw).lower() == signer.address
    assert signer.sign(**{**asked, "nonce": 4}).tx_hash != signed.tx_hash


def test_a_replacement_pays_more_than_the_node_asks() -> None:
    fees = Fees(1, 0).bumped(25)
    assert fees.max_fee >= 2
    assert fees.tip >= 1
    assert Fees(100, 40).bumped(25) == Fees(126, 51)
    assert Fees(5, 1).at_least(Fees(1, 7)) == Fees(5, 7)


# --- the RPC client ---


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("<html>bad gateway</html>", 502),
        ("", 200),
        ("[]", 200),
        ("{}", 200),
        ({"error": {"code": -32005, "message": "limit exceeded"}}, 200),
        ({"error": {"code": -1, "message": "slow down"}}, 429),
    ],
)
async def test_no_answer_is_unavailable(serve: Callable[..., Any], body: Any, status: int) -> None:
    chain = await serve(replying(body, status))
    with pytest.raises(Unavailable, match="W3B-5001"):
        await chain.chain_id()


async def test_a_timeout_and_a_closed_port_are_unavailable(serve: Callable[..., Any]) -> None:
    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    chain = await serve(slow, 0.1)
    with pytest.raises(Unavailable, match="W3B-5001"):
        await chain.chain_id()
    closed = JsonRpcChain("http://127.0.0.1:9/")
    with pytest.raises(Unavailable, match="W3B-5001"):
        await closed.chain_id()
    await closed.close()


@pytest.mark.parametrize(
    ("error", "data"),
    [
        ({"code": 3, "message": "execution reverted", "data": "0x1234"}, b"\x12\x34"),
        ({"code": -32000, "message": "VM Exception: revert", "data": {"data": "0x12"}}, b"\x12"),
        ({"code": 3, "message": "execution reverted"}, b""),
        ({"code": 3, "message": "execution reverted", "data": "oops"}, b""),
    ],
)
async def test_revert_data_is_found_where_servers_put_it(
    serve: Callable[..., Any], error: dict[str, Any], data: bytes
) -> None:
    chain = await serve(replying({"error": error}))
    with pytest.raises(Reverted) as caught:
        await chain.call("0x" + "00" * 20, "0x" + "11" * 20, b"")
    assert caught.value.data == data


async def test_another_error_is_refused_with_its_message(serve: Callable[..., Any]) -> None:
    chain = await serve(replying({"error": {"code": -32601, "message": "no such method"}}))
    with pytest.raises(RpcRefused, match=r"W3B-5003.*no such method"):
        await chain.block("latest")


async def test_fees_without_a_history_come_from_the_head(serve: Callable[..., Any]) -> None:
    async def handler(request: web.Request) -> web.Response:
        if (await request.json())["method"] == "eth_feeHistory":
            return web.json_response({"error": {"code": -32601, "message": "no such method"}})
        block = {"number": "0x1", "hash": "0x", "timestamp": "0x1", "baseFeePerGas": hex(5 * GWEI)}
        return web.json_response({"result": block})

    fees = await (await serve(handler)).fees()
    assert fees == Fees(10 * GWEI + GWEI // 10, GWEI // 10)
