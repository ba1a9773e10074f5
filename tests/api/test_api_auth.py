"""Who may call what: without a key nothing, with a key only what its scopes and its project allow, revoked at once."""

from __future__ import annotations

import importlib
import os
import pkgutil
import stat

import grpc
import pytest
from api_live import Live, project_rows, task_row
from sqlmodel import select

import w3bstream.v1
from coordinator.api.auth import ALL_SCOPES, ANY_KEY, LOGIN, SCOPES, bootstrap_admin_key, new_key
from coordinator.api.errors import from_rpc
from coordinator.ledger.tables import ApiKeyRow
from verifier.errors import Conflict, Denied, InvalidInput, NotFound
from w3bstream.v1 import admin_pb2, admin_pb2_grpc


def test_every_method_stands_in_the_scope_table() -> None:
    names = [module.name for module in pkgutil.iter_modules(w3bstream.v1.__path__) if module.name.endswith("_pb2")]
    files = [importlib.import_module(f"w3bstream.v1.{name}") for name in names]
    methods = {
        f"/{service.full_name}/{method.name}"
        for file in files
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    ours = {method for method in SCOPES if method.startswith("/w3bstream.")}
    assert methods == ours
    assert {SCOPES[method] for method in ours} - {ANY_KEY, LOGIN} <= set(ALL_SCOPES)


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "W3B-7001"),
        ("", "W3B-7002"),
        ("w3b_000000000000_" + "a" * 43, "W3B-7002"),
        ("Bearer w3b_000000000000_" + "a" * 43, "W3B-7002"),
        ("Bearer nonsense", "W3B-7002"),
        ("Basic w3b_000000000000_" + "a" * 43, "W3B-7002"),
    ],
)
def test_without_a_valid_key_nothing(live: Live, header: str | None, code: str) -> None:
    metadata = () if header is None else (("authorization", header),)
    with grpc.insecure_channel(live.target) as channel, pytest.raises(grpc.RpcError) as caught:
        admin_pb2_grpc.AdminServiceStub(channel).GetStatus(admin_pb2.GetStatusRequest(), metadata=metadata)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    error = from_rpc(caught.value)
    assert (type(error), error.code) == (Denied, code)


def test_two_authorization_headers_are_refused(live: Live) -> None:
    metadata = (("authorization", f"Bearer {live.admin_key}"), ("authorization", "Bearer x"))
    with grpc.insecure_channel(live.target) as channel, pytest.raises(grpc.RpcError) as caught:
        admin_pb2_grpc.AdminServiceStub(channel).GetStatus(admin_pb2.GetStatusRequest(), metadata=metadata)
    assert from_rpc(caught.value).code == "W3B-7002"


@pytest.mark.parametrize("place", [0, 10, 20, -1])
def test_a_key_with_one_character_changed_is_refused(live: Live, place: int) -> None:
    key = live.admin_key
    changed = key[:place] + ("0" if key[place] != "0" else "1") + (key[place:][1:])
    with live.client(changed) as client, pytest.raises(Denied) as caught:
        client.get_status()
    assert caught.value.code == "W3B-7002"


def test_a_key_does_what_its_scopes_say(live: Live) -> None:
    with live.client(live.key("tasks:read")) as client:
        assert not client.list_tasks().tasks
        assert client.get_status().chain_id == 4690
        for refused in (
            client.list_projects,
            lambda: client.create_project("weather"),
            client.list_api_keys,
            lambda: client.cancel_task("0x01"),
            lambda: client.ingest([b"x"]),
            lambda: list(client.watch_provers()),
        ):
            with pytest.raises(Denied) as caught:
                refused()
            assert caught.value.code == "W3B-7004"


def test_a_key_of_one_project_sees_no_other(live: Live) -> None:
    live.add(*project_rows(1, "one"), *project_rows(2, "two"))
    live.add(task_row(1, project_id=1), task_row(2, project_id=2))
    with live.client(live.key(project_id=1)) as client:
        assert [task.project_id for task in client.list_tasks().tasks] == [1]
        assert [project.id for project in client.projects()] == [1]
        assert client.get_project(1).project.name == "one"
        assert client.get_status().tasks == {"OPEN": 1}
        other = task_row(2, project_id=2).id
        for refused in (
            lambda: client.get_project(2),
            lambda: client.list_tasks(project_id=2),
            lambda: client.get_task(other),
            lambda: client.cancel_task(other),
            lambda: list(client.watch_tasks(task_id=other)),
            lambda: list(client.watch_tasks(project_id=2)),
            lambda: client.submit_task(2),
            lambda: client.get_intake(2),
            lambda: client.list_dead_letters(2),
            lambda: client.pause_project(2),
            lambda: client.resume_project(2),
            lambda: client.publish_version(2, "x"),
            lambda: client.create_webhook(2, "https://example.com/hook"),
            lambda: client.list_webhooks(2),
            lambda: client.list_deliveries(2),
            lambda: client.create_project("three"),
            lambda: client.drain_prover("prover-1"),
        ):
            with pytest.raises(Denied) as caught:
                refused()
            assert caught.value.code == "W3B-7005"


def test_a_revoked_key_is_refused_at_once_and_ends_its_watch(live: Live) -> None:
    live.add(*project_rows(1, "weather"), task_row(1))
    key = live.key()
    with live.client(key) as client, live.client() as admin:
        assert client.get_task(task_row(1).id).task.count == 3
        watch = client.watch_tasks(project_id=1)
        key_id = f"key_{key.split('_')[1]}"
        assert admin.revoke_api_key(key_id).HasField("revoked_at")
        assert admin.revoke_api_key(key_id).id == key_id
        with pytest.raises(Denied) as caught:
            client.get_status()
        assert caught.value.code == "W3B-7003"
        with pytest.raises(Denied) as caught:
            next(watch)
        assert caught.value.code == "W3B-7003"


def test_a_watch_under_way_gets_nothing_after_its_key_is_revoked(live: Live) -> None:
    live.add(*project_rows(1, "weather"), task_row(1), task_row(2))
    key = live.key()
    with live.client(key) as client, live.client() as admin:
        admin.cancel_task(task_row(1).id)
        watch = client.watch_tasks(project_id=1)
        assert next(watch).target == "CANCELLED"
        admin.revoke_api_key(f"key_{key.split('_')[1]}")
        admin.cancel_task(task_row(2).id)
        with pytest.raises(Denied) as caught:
            next(watch)
        assert caught.value.code == "W3B-7003"


def test_the_last_admin_key_stays(live: Live) -> None:
    with live.client() as admin:
        mine = admin.list_api_keys()[0].id
        with pytest.raises(Conflict) as caught:
            admin.revoke_api_key(mine)
        assert caught.value.code == "W3B-7018"
        second = admin.create_api_key("second", ["admin"])
        assert admin.revoke_api_key(mine).id == mine
    with live.client(second.secret) as client, pytest.raises(Conflict):
        client.revoke_api_key(second.api_key.id)


def test_keys_are_made_and_listed_without_their_secret(live: Live) -> None:
    with live.client() as admin:
        made = admin.create_api_key("reader", ["tasks:read", "projects:read", "tasks:read"])
        assert list(made.api_key.scopes) == ["projects:read", "tasks:read"]
        listed = admin.list_api_keys()
        assert [key.name for key in listed] == ["first admin key", "reader"]
        assert made.secret not in "".join(str(key) for key in listed)

    async def stored() -> str:
        async with live.ledger.reading() as session:
            return "".join(str(row) for row in await session.exec(select(ApiKeyRow)))

    assert made.secret not in live.run(stored())
    assert made.secret.encode() not in b"".join(path.read_bytes() for path in live.home.glob("ledger.db*"))


@pytest.mark.parametrize(
    ("name", "scopes", "project_id"),
    [
        ("", ["tasks:read"], 0),
        ("x" * 101, ["tasks:read"], 0),
        ("a\nb", ["tasks:read"], 0),
        ("x", [], 0),
        ("x", ["root"], 0),
    ],
)
def test_a_key_needs_a_name_and_known_scopes(live: Live, name: str, scopes: list[str], project_id: int) -> None:
    with live.client() as admin, pytest.raises(InvalidInput) as caught:
        admin.create_api_key(name, scopes, project_id=project_id)
    assert caught.value.code == "W3B-7008"


def test_a_key_of_a_project_has_no_admin_scope_and_needs_the_project(live: Live) -> None:
    with live.client() as admin:
        with pytest.raises(NotFound):
            admin.create_api_key("x", ["tasks:read"], project_id=9)
        live.add(*project_rows(1, "weather"))
        with pytest.raises(InvalidInput):
            admin.create_api_key("x", ["admin"], project_id=1)
        with pytest.raises(NotFound) as caught:
            admin.revoke_api_key("key_000000000000")
        assert caught.value.code == "W3B-7013"


def test_the_first_admin_key_is_made_once_and_is_private(live: Live) -> None:
    path = live.home / "admin.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_text()
    live.run(bootstrap_admin_key(live.ledger, live.home))
    assert path.read_text() == before
    os.unlink(path)
    live.run(bootstrap_admin_key(live.ledger, live.home))
    assert not path.exists()


def test_a_crash_between_key_file_and_ledger_is_mended(live: Live) -> None:
    async def forget() -> None:
        async with live.ledger.transaction() as session:
            for row in await session.exec(select(ApiKeyRow)):
                await session.delete(row)

    live.run(forget())
    before = (live.home / "admin.key").read_text()
    live.run(bootstrap_admin_key(live.ledger, live.home))
    assert (live.home / "admin.key").read_text() == before
    with live.client() as client:
        assert client.get_status().chain_id == 4690


def test_a_revoked_key_file_does_not_come_back_to_life(live: Live) -> None:
    async def revoke() -> None:
        async with live.ledger.transaction() as session:
            for row in await session.exec(select(ApiKeyRow)):
                row.revoked_at = 5
                session.add(row)

    live.run(revoke())
    before = (live.home / "admin.key").read_text().strip()
    live.run(bootstrap_admin_key(live.ledger, live.home))
    after = (live.home / "admin.key").read_text().strip()
    assert after != before
    with live.client(before) as client, pytest.raises(Denied):
        client.get_status()
    with live.client(after) as client:
        assert client.get_status().chain_id == 4690


def test_keys_differ() -> None:
    assert len({new_key() for _ in range(100)}) == 100
