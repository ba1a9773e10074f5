"""Identities, tokens, expiring keys, quotas and the audit log, over the wire: what is not granted, or no more, is
refused, and what was done is written down."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from api_live import Live, project_rows, reading
from google.rpc import status_pb2
from google.rpc.error_details_pb2 import RetryInfo
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from sqlmodel import col, select, update

from coordinator.access import did_keys
from coordinator.access.audit import entry
from coordinator.access.audit_chain import verify
from coordinator.access.dids import LoginClaims
from coordinator.api.client import Client
from coordinator.api.errors import DETAILS_KEY
from coordinator.ledger.control_tables import AuditRow, IdentityRow
from coordinator.ledger.tables import ApiKeyRow
from verifier.errors import Conflict, Denied, InvalidInput, NotFound, Refused, Unavailable, W3bstreamError
from w3bstream.v1 import admin_pb2, admin_pb2_grpc


def prover(key: did_keys.DidKey, did: str) -> Any:
    return lambda audience, target, challenge: key.prove(LoginClaims(did, audience, target, challenge))


def audit(live: Live) -> list[AuditRow]:
    async def rows() -> list[AuditRow]:
        async with live.ledger.reading() as session:
            return list(await session.exec(select(AuditRow).order_by(col(AuditRow.id))))

    return live.run(rows())


@pytest.fixture
def key(live: Live, tmp_path: Path) -> did_keys.DidKey:
    """A key whose DID may read tasks."""
    made = did_keys.generate(tmp_path / "me.pem", "ed25519")
    with live.client() as admin:
        admin.create_identity(made.did, "me", ["tasks:read"])
    return made


def log_in(live: Live, key: did_keys.DidKey, did: str = "") -> str:
    with live.client("") as client:
        return client.login(did or key.did, prover(key, did or key.did)).token


@pytest.mark.parametrize("kind", ["ed25519", "p256", "secp256k1", "account"])
def test_a_registered_did_logs_in_and_may_what_it_was_given(live: Live, tmp_path: Path, kind: str) -> None:
    key = did_keys.generate(tmp_path / "k.pem", "secp256k1" if kind == "account" else kind)
    did = key.account(4690) if kind == "account" else key.did
    with live.client() as admin:
        admin.create_identity(did, "me", ["tasks:read"])
        assert [each.did for each in admin.list_identities()] == [did]
    with live.client(log_in(live, key, did)) as client:
        assert not client.list_tasks().tasks
        with pytest.raises(Denied) as caught:
            client.list_projects()
        assert caught.value.code == "W3B-7004"


def test_a_login_is_refused_unless_everything_fits(live: Live, key: did_keys.DidKey, tmp_path: Path) -> None:
    stranger = did_keys.generate(tmp_path / "stranger.pem", "ed25519")
    with grpc.insecure_channel(live.target) as channel:
        stub = admin_pb2_grpc.AuthServiceStub(channel)

        def attempt(challenge: str, **changes: Any) -> str:
            claims = LoginClaims(key.did, f"w3bstream:4690:{live.site.deployment.router}", live.target, challenge)
            claims = LoginClaims(**{**claims.__dict__, **changes.pop("signed", {})})
            request = admin_pb2.LoginRequest(
                did=key.did, challenge=challenge, target=live.target, proof=changes.pop("by", key).prove(claims)
            )
            for name, value in changes.items():
                setattr(request, name, value)
            return str(stub.Login(request).token)

        def fresh() -> str:
            return str(stub.GetChallenge(admin_pb2.GetChallengeRequest(did=key.did)).challenge)

        used = fresh()
        assert attempt(used)
        for challenge, changes in (
            (used, {}),
            (fresh()[:-4] + "AAAA", {}),
            ("", {}),
            (fresh(), {"by": stranger}),
            (fresh(), {"proof": ""}),
            (fresh(), {"target": "evil.example:443"}),
            (fresh(), {"target": "evil.example:443", "signed": {"target": "evil.example:443"}}),
            (fresh(), {"signed": {"target": "evil.example:443"}}),
            (fresh(), {"signed": {"audience": "w3bstream:1:0x"}}),
            (fresh(), {"did": stranger.did}),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                attempt(challenge, **changes)
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
            assert "W3B-7022" in str(caught.value.details())
    with pytest.raises(Refused):
        log_in(live, stranger)
    outcomes = [row.outcome for row in audit(live) if row.action == "identity.login"]
    assert outcomes == ["ok", *["W3B-7022"] * 11]


def test_what_an_identity_loses_its_tokens_lose_at_once(live: Live, key: did_keys.DidKey) -> None:
    token = log_in(live, key)
    with live.client() as admin, live.client(token) as client:
        client.list_tasks()
        admin.create_identity(key.did, "me", ["projects:read"])
        with pytest.raises(Denied) as caught:
            client.list_tasks()
        assert caught.value.code == "W3B-7004"
        with pytest.raises(Denied):  # gained since: with the next login
            client.list_projects()
        with live.client(log_in(live, key)) as again:
            assert list(again.projects()) == []
        live.add(*project_rows(1, "weather"))
        admin.create_identity(key.did, "me", ["projects:read"], project_id=1)
        with pytest.raises(Denied) as moved:
            client.list_projects()
        assert moved.value.code == "W3B-7021"
        admin.revoke_identity(key.did)
        with pytest.raises(Denied) as revoked:
            client.list_projects()
        assert revoked.value.code in ("W3B-7003", "W3B-7021")
        with pytest.raises(Refused):
            log_in(live, key)
        with pytest.raises(NotFound):
            admin.revoke_identity("did:key:z6MkpTHR8VNsBxYAAWHut2Geadd9jSwuBV8xRoAnwWsdvktH")
        with pytest.raises(InvalidInput):
            admin.create_identity("did:web:x", "x", ["tasks:read"])


def test_a_token_ends_with_its_time(live: Live, key: did_keys.DidKey) -> None:
    token = log_in(live, key)
    clock = live.ledger.clock
    with live.client(token) as client:
        client.list_tasks()
        live.ledger.clock = lambda: clock() + 16 * 60_000
        with pytest.raises(Denied) as caught:
            client.list_tasks()
        assert caught.value.code == "W3B-7020"


def test_a_key_with_an_end_ends(live: Live) -> None:
    with live.client() as admin:
        made = admin.create_api_key("short", ["tasks:read"], expires_in_seconds=60)
        assert made.api_key.HasField("expires_at")
        with pytest.raises(InvalidInput):
            admin.create_api_key("long", ["tasks:read"], expires_in_seconds=2**63)
        with live.client(made.secret) as client:
            client.list_tasks()
            clock = live.ledger.clock
            live.ledger.clock = lambda: clock() + 61_000
            with pytest.raises(Denied) as caught:
                client.list_tasks()
            assert caught.value.code == "W3B-7020"


def test_an_admin_key_with_an_end_does_not_stand_in_for_one_without(live: Live) -> None:
    with live.client() as admin:
        admin.create_api_key("short", ["admin"], expires_in_seconds=60)
        first = next(each for each in admin.list_api_keys() if each.name == "first admin key")
        with pytest.raises(Conflict) as caught:
            admin.revoke_api_key(first.id)
        assert caught.value.code == "W3B-7018"


def test_another_coordinators_revocation_is_heard_within_a_second_or_two(live: Live) -> None:
    key = live.key("tasks:read")

    async def revoke() -> None:
        async with live.ledger.transaction() as session:
            await session.exec(update(ApiKeyRow).where(col(ApiKeyRow.name) == "test").values(revoked_at=1))

    with live.client(key) as client:
        client.list_tasks()
        live.run(revoke())
        with pytest.raises(Denied) as caught:
            for _ in range(100):
                client.list_tasks()
                time.sleep(0.1)  # what was read holds for a second
        assert caught.value.code == "W3B-7003"


def test_a_revoked_key_ends_silent_streams_too(live: Live) -> None:
    key = live.key("tasks:read")
    metadata = (("authorization", f"Bearer {key}"),)
    with live.client() as admin, grpc.insecure_channel(live.target) as channel:
        health = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), metadata=metadata)
        assert next(health).status == health_pb2.HealthCheckResponse.SERVING

        def asks() -> Any:
            yield reflection_pb2.ServerReflectionRequest(list_services="")
            while True:
                time.sleep(0.2)  # a caller that keeps its stream open
                if done:
                    return

        done: list[bool] = []
        reflect = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(asks(), metadata=metadata)
        next(reflect)
        admin.revoke_api_key(f"key_{key.split('_')[1]}")
        for stream in (health, reflect):
            with pytest.raises(grpc.RpcError) as caught:
                next(stream)
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
            assert "W3B-7003" in str(caught.value.details())
        done.append(True)


def test_last_use_is_kept(live: Live) -> None:
    live.run(live.server._authenticator._write_used())
    with live.client() as admin:
        admin.get_status()
        live.run(live.server._authenticator._write_used())
        assert admin.list_api_keys()[0].HasField("last_used_at")


def test_wrong_keys_from_one_address_are_slowed_down(live: Live) -> None:
    with live.client("w3b_000000000000_" + "a" * 43) as stranger, live.client() as admin:
        admin.get_status()
        codes = []
        for _ in range(70):
            with pytest.raises(W3bstreamError) as caught:
                stranger.get_status()
            codes.append(caught.value.code)
        assert codes[:50] == ["W3B-7002"] * 50
        assert codes[-1] == "W3B-7029"
        admin.get_status()  # who is known goes on


def test_quotas_hold_and_say_when_to_come_back(live: Live) -> None:
    live.add(*project_rows(1, "weather"), *project_rows(2, "other"))
    live.ledger.clock = lambda: 1_800_000_030_000
    with live.client() as client:
        client.set_quota(1, "jobs", 2)
        client.set_quota(1, "readings", 3)
        for number in (1, 2):
            client.submit_job(1, [reading(number)])
        with pytest.raises(Unavailable) as caught:
            client.submit_job(1)
        assert caught.value.code == "W3B-7028"
        client.submit_job(2)
        live.ledger.clock = lambda: 1_800_000_060_000
        with pytest.raises(Unavailable) as readings:
            client.submit_job(1, [reading(3), reading(4)])
        assert readings.value.field == "readings"
        client.submit_job(1, [reading(3)])
        found = {each.resource: each for each in client.list_quotas(1)}
        assert (found["jobs"].used, found["readings"].used, found["jobs"].own) == (1, 3, True)
        assert not client.set_quota(1, "jobs", None).own
        for resource, allowance in (("fish", 1), ("jobs", 2**63)):
            with pytest.raises(InvalidInput):
                client.set_quota(1, resource, allowance)


def test_a_refusal_over_quota_has_retry_info(live: Live) -> None:
    live.add(*project_rows(1, "weather"))
    with live.client() as client:
        client.set_quota(1, "requests", 2)
        with pytest.raises(Unavailable):
            for _ in range(60):
                client.get_intake(1)
                time.sleep(0.05)  # a limit that was read holds for a second
    with grpc.insecure_channel(live.target) as channel, pytest.raises(grpc.RpcError) as caught:
        metadata = (("authorization", f"Bearer {live.admin_key}"),)
        channel.unary_unary("/w3bstream.v1.IngestService/GetIntake")(b"\x08\x01", metadata=metadata)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    status = status_pb2.Status.FromString(dict(caught.value.trailing_metadata())[DETAILS_KEY])
    retry = RetryInfo()
    assert any(detail.Unpack(retry) for detail in status.details if detail.Is(RetryInfo.DESCRIPTOR))
    assert 0 < retry.retry_delay.ToMilliseconds() <= 30_000


def test_ingest_counts_readings(streaming: Live) -> None:
    with streaming.client() as client:
        client.set_quota(1, "readings", 3)
        assert client.ingest([reading(1), reading(2)]).accepted == 2
        with pytest.raises(Unavailable) as caught:
            client.ingest([reading(3), reading(4)])
        assert caught.value.code == "W3B-7028"
        assert client.ingest([reading(3)]).accepted == 1


def test_every_act_is_in_the_log_and_the_log_holds(live: Live) -> None:
    with live.client() as admin:
        project = admin.create_project("weather")
        admin.pause_project(project.id)
        made = admin.create_api_key("gateway", ["tasks:read"])
        admin.revoke_api_key(made.api_key.id)
        with pytest.raises(NotFound):
            admin.revoke_api_key("key_000000000000")
        hook = admin.create_webhook(project.id, "http://127.0.0.1:9/hook?token=hidden")
        admin.rotate_webhook_secret(hook.webhook.id)
        with live.client(made.secret) as revoked, pytest.raises(Denied):
            revoked.create_project("x")
        with live.client(live.key("tasks:read")) as reader, pytest.raises(Denied):
            reader.create_project("x")
        entries = list(admin.audit(oldest_first=True))
        assert [each.action for each in admin.audit(action="project.pause")] == ["project.pause"]
        admin_id = entries[0].actor
    rows = audit(live)
    acts = [(row.action, row.outcome) for row in rows]
    assert acts == [
        ("project.create", "ok"),
        ("project.pause", "ok"),
        ("api_key.create", "ok"),
        ("api_key.revoke", "ok"),
        ("api_key.revoke", "W3B-7013"),
        ("webhook.create", "ok"),
        ("webhook.rotate", "ok"),
        ("api_key.create", "ok"),
    ]
    assert admin_id.startswith("key_")
    assert {row.peer for row in rows} == {"127.0.0.1"}
    assert rows[2].subject == made.api_key.id
    assert (rows[5].project_id, rows[1].project_id) == (project.id, project.id)
    assert verify(map(entry, rows))[0] == len(rows) == len(entries)
    text = json.dumps([row.model_dump() for row in rows])
    for secret in (made.secret, hook.secret, "hidden", live.admin_key):
        assert secret not in text


def test_an_act_and_its_row_are_one(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    import coordinator.api.acts as acts

    async def broken(*_: Any) -> None:
        raise RuntimeError("no row")

    with live.client() as admin:
        monkeypatch.setattr(acts, "append", broken)
        with pytest.raises(W3bstreamError):
            admin.create_project("weather")
        monkeypatch.undo()
        assert list(admin.projects()) == []


def test_a_log_that_was_touched_is_found(live: Live) -> None:
    with live.client() as admin:
        for name in "abc":
            admin.create_api_key(name, ["tasks:read"])

    async def touch() -> None:
        async with live.ledger.transaction() as session:
            await session.exec(update(AuditRow).where(col(AuditRow.id) == 2).values(actor="key_other"))

    live.run(touch())
    with pytest.raises(Refused) as caught:
        verify(map(entry, audit(live)))
    assert caught.value.code == "W3B-7031"


def test_identities_are_rows(live: Live, key: did_keys.DidKey) -> None:
    async def rows() -> list[IdentityRow]:
        async with live.ledger.reading() as session:
            return list(await session.exec(select(IdentityRow)))

    assert [(row.did, row.scopes) for row in live.run(rows())] == [(key.did, ["tasks:read"])]


def test_one_key_has_so_many_calls_at_once(live: Live) -> None:
    live.add(*project_rows(1, "weather"))
    live.run(live.server.stop(0))
    live.settings = live.settings.model_copy(update={"api_calls_per_key": 3})
    live.server = live.new_server()
    host, port = live.run(live.server.start())
    metadata = (("authorization", f"Bearer {live.admin_key}"),)
    with grpc.insecure_channel(f"{host}:{port}") as channel, Client(f"{host}:{port}", live.admin_key) as client:
        watch = health_pb2_grpc.HealthStub(channel).Watch
        held = [watch(health_pb2.HealthCheckRequest(), metadata=metadata) for _ in range(3)]
        for stream in held:
            next(stream)
        with pytest.raises(Unavailable) as caught:
            client.get_status()
        assert caught.value.code == "W3B-7010"
        held[0].cancel()
        for _ in range(100):
            try:
                assert client.get_status().chain_id == 4690
                break
            except Unavailable:
                time.sleep(0.05)  # the server hears of the cancelled watch
        else:
            pytest.fail("a call that ended still counts")
