"""What must hold: a stranger writes no row of the ledger for the asking, a key learns no secret of the operator's, and no
key may start more work of the service's own than the service has room for."""

from __future__ import annotations

import asyncio
import threading

import grpc
import pytest
from api_live import Live
from sqlmodel import select

from coordinator.access.dids import MAX_DID
from coordinator.api import gate
from coordinator.api.peers import network_of
from coordinator.api.stream_methods import REBUILDS
from coordinator.intake.rebuild import Rebuild, RebuildReport
from coordinator.ledger.control_tables import AuditRow
from w3bstream.v1 import admin_pb2, admin_pb2_grpc


def acts(live: Live) -> list[str]:
    """Every act in the audit log."""

    async def look() -> list[str]:
        async with live.ledger.reading() as session:
            return list(await session.exec(select(AuditRow.action)))

    found: list[str] = live.run(look())
    return found


@pytest.mark.parametrize("did", ["", "x", "\0", "did:key:z" + "1" * MAX_DID, "did:pkh:eip155:0:0x00"])
def test_what_is_no_login_leaves_no_row_and_is_counted(live: Live, did: str) -> None:
    before, codes = acts(live), []
    with grpc.insecure_channel(live.target) as channel:
        stub = admin_pb2_grpc.AuthServiceStub(channel)
        for _ in range(live.settings.api_auth_failures + 5):
            with pytest.raises(grpc.RpcError) as caught:
                stub.Login(admin_pb2.LoginRequest(did=did, challenge="x", target=live.target, proof="x"))
            codes.append(str(caught.value.details())[:8])
    assert set(codes[:50]) == {"W3B-7024"}
    assert codes[-1] == "W3B-7029", "it slows the address down like any other failure"
    assert acts(live) == before


def test_refused_logins_have_so_many_rows(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "REFUSED_LOGINS", 3)
    before = len(acts(live))
    did = "did:pkh:eip155:1:0x" + "11" * 20
    with grpc.insecure_channel(live.target) as channel:
        stub = admin_pb2_grpc.AuthServiceStub(channel)
        for _ in range(8):
            with pytest.raises(grpc.RpcError, match="W3B-7022"):
                stub.Login(admin_pb2.LoginRequest(did=did, challenge="x", target=live.target, proof="x"))
    assert acts(live)[before:] == ["identity.login"] * 3


def test_bytes_that_are_no_message_leave_no_row(live: Live) -> None:
    before = acts(live)
    with grpc.insecure_channel(live.target) as channel:
        login: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/w3bstream.v1.AuthService/Login")
        for _ in range(3):
            with pytest.raises(grpc.RpcError, match="W3B-7008"):
                login(b"\xff\xff")
    assert acts(live) == before


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("unix", "unknown", False),
    ],
)
def test_failures_count_against_whoever_may_choose_the_address(one: str, other: str, same: bool) -> None:
    assert (network_of(one) == network_of(other)) is same


def test_the_status_holds_no_token_of_the_rpc_s_url(live: Live) -> None:
    live.site.chain_rpc_url = "https://operator:hidden@rpc.example:8443/v3/hidden-token?key=hidden"
    with live.client(live.key("ingest:write")) as client:
        assert client.get_status().chain_rpc_url == "https://rpc.example:8443"


def test_rebuilds_take_turns(streaming: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    under_way, most = 0, 0

    async def run(self: Rebuild) -> RebuildReport:
        nonlocal under_way, most
        under_way, most = under_way + 1, max(most, under_way + 1)
        await asyncio.sleep(0.05)  # the work itself: long enough for the others to come
        under_way -= 1
        return RebuildReport(1)

    monkeypatch.setattr(Rebuild, "run", run)
    key = streaming.key("tasks:read")

    def ask() -> None:
        with streaming.client(key) as client:
            client.verify_stream(1)

    asking = [threading.Thread(target=ask) for _ in range(8)]
    for each in asking:
        each.start()
    for each in asking:
        each.join(30)
    assert most == REBUILDS
