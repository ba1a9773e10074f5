"""Projects, provers, webhooks and the server around them."""

from __future__ import annotations

import http.server
import json
import stat
import threading
from typing import Any

import grpc
import pytest
from api_live import Live, Prepared, project_rows, task_row
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from sqlmodel import select

from coordinator.api import server as api_server
from coordinator.api.client import Client
from coordinator.api.surroundings import ComponentStatus
from coordinator.ledger.outbox_tables import OutboxTxRow, WebhookDeliveryRow, WebhookEndpointRow, WebhookMessageRow
from coordinator.ledger.tables import AttemptRow, ProjectVersionRow, ProverRow
from coordinator.projects.example import example
from verifier.errors import Conflict, InvalidInput, NotFound, Refused
from verifier.reading import DeviceKey, KeyType
from w3bstream.v1 import project_pb2, prover_pb2


def test_a_project_from_its_name_to_its_published_version(live: Live) -> None:
    file = example("weather", [DeviceKey.generate(KeyType.BABYJUBJUB).registration("roof")])
    with live.client() as client:
        project = client.create_project("weather")
        assert (project.id, project.version, project.state) == (1, 0, project_pb2.PROJECT_STATE_ACTIVE)
        version = client.publish_version(project.id, file, idempotency_key="v1")
        assert (version.version, version.state, version.devices) == (1, project_pb2.VERSION_STATE_PENDING, 1)
        assert client.publish_version(project.id, file, idempotency_key="v1") == version
        assert version.programs[0].program_id == "0x" + "05" * 32

        async def mined() -> None:
            async with live.ledger.transaction() as session:
                row = (await session.exec(select(ProjectVersionRow))).one()
                row.state = "PUBLISHED"
                tx = await session.get(OutboxTxRow, row.publish_tx)
                assert tx is not None
                tx.tx_hash = "0xfeed"
                session.add_all([row, tx])

        live.run(mined())
        found = client.get_project(project.id)
        assert found.versions[0].state == project_pb2.VERSION_STATE_PUBLISHED
        assert (found.versions[0].transaction_hash, found.versions[0].file) == ("0xfeed", file)
        assert client.pause_project(1).state == project_pb2.PROJECT_STATE_PAUSED
        assert client.pause_project(1).state == project_pb2.PROJECT_STATE_PAUSED
        assert client.resume_project(1).state == project_pb2.PROJECT_STATE_ACTIVE
        with pytest.raises(Conflict) as caught:
            client.create_project("weather")
        assert caught.value.code == "W3B-2004"


def test_a_bad_project_file_changes_nothing(live: Live) -> None:
    live.add(*project_rows(1, "weather"))
    with live.client() as client:
        for text in ("", "schema: w3bstream/v9", "a: [", "- 1"):
            with pytest.raises(InvalidInput) as caught:
                client.publish_version(1, text)
            assert caught.value.code == "W3B-2001"
        with pytest.raises(NotFound):
            client.publish_version(9, "x")
        assert len(client.get_project(1).versions) == 1


def test_a_program_that_cannot_be_prepared(live: Live) -> None:
    live.add(*project_rows(1, "weather"))

    async def broken(_: Any) -> dict[str, Prepared]:
        raise NotFound("W3B-4001", "no prover of kind 'zkp.groth16' is installed", field="kind")

    live.site.prepare = broken  # type: ignore[method-assign]
    with live.client() as client, pytest.raises(NotFound) as caught:
        client.publish_version(1, example("weather", [DeviceKey.generate(KeyType.BABYJUBJUB).registration()]))
    assert caught.value.code == "W3B-4001"


def test_projects_page_by_page(live: Live) -> None:
    for number in range(1, 8):
        live.add(*project_rows(number, f"project-{number}", devices=()))
    with live.client() as client:
        assert [project.id for project in client.projects()] == list(range(1, 8))
        page = client.list_projects(page_size=3)
        assert [project.id for project in page.projects] == [1, 2, 3]
        page = client.list_projects(page_size=4, page_token=page.next_page_token)
        assert ([project.id for project in page.projects], page.next_page_token) == ([4, 5, 6, 7], "")


def prover_row(name: str, **values: Any) -> ProverRow:
    return ProverRow(
        **{"id": name, "kind": "zkp.groth16", "address": "0x01", "created_at": 1, "updated_at": 1, **values}
    )


def test_provers_are_listed_and_drained(live: Live) -> None:
    live.add(*project_rows(1, "weather"), task_row(1), task_row(2))
    live.add(
        OutboxTxRow(
            id=1,
            dedupe_key="r",
            purpose="register_prover",
            ref={},
            to="0x",
            data=b"",
            state="MINED",
            created_at=1,
            updated_at=1,
        ),
        prover_row("a", status="BUSY", register_tx=1, heartbeat_at=7000),
        prover_row("b", kind="tee.sgx"),
    )
    live.add(
        *(
            AttemptRow(
                task_id=task_row(1).id,
                kind="zkp.groth16",
                program_id="0x",
                prover_id="a",
                prover_address="0x",
                fence=fence,
                state=state,
                lease_expires_at=1,
                heartbeat_at=1,
                deadline_at=1,
                created_at=1,
                updated_at=1,
            )
            for fence, state in enumerate(("VERIFIED", "LOST", "REJECTED", "SUPERSEDED", "PROVING"), 1)
        )
    )
    with live.client() as client:
        first, second = client.list_provers()
        assert (first.id, first.verified, first.failed, first.task_id) == ("a", 1, 2, task_row(1).id)
        assert (first.status, first.registered, second.registered) == (prover_pb2.PROVER_STATUS_BUSY, True, False)
        assert [prover.id for prover in client.list_provers("tee.sgx")] == ["b"]
        assert client.drain_prover("a").draining
        assert client.drain_prover("a").draining
        assert not client.drain_prover("a", drain=False).draining
        watch = client.watch_provers()
        events = [next(watch), next(watch)]
        assert [(event.prover_id, event.reason) for event in events] == [
            ("a", "draining: takes no new work"),
            ("a", "draining ended"),
        ]
        client.drain_prover("b")
        assert next(watch).prover_id == "b"
        assert next(client.watch_provers(events[1].id)).prover_id == "b"
        with pytest.raises(NotFound) as caught:
            client.drain_prover("c")
        assert caught.value.code == "W3B-3007"


def test_webhooks_pass_the_guard(live: Live) -> None:
    live.add(*project_rows(1, "weather"))
    with live.client() as client:
        for url, kind, code in (
            ("http://example.com/", InvalidInput, "W3B-6001"),
            ("https://10.0.0.1/", Refused, "W3B-6002"),
            ("https://169.254.169.254/latest", Refused, "W3B-6002"),
            ("https://[::ffff:10.0.0.1]/", Refused, "W3B-6002"),
            ("https://user:secret@example.com/", InvalidInput, "W3B-6001"),
            ("ftp://127.0.0.1/", InvalidInput, "W3B-6001"),
        ):
            with pytest.raises(kind) as caught:
                client.create_webhook(1, url)
            assert caught.value.code == code
        with pytest.raises(InvalidInput):
            client.create_webhook(1, "http://127.0.0.1:9/", ["w3bstream.task.unheard"])
        assert client.list_webhooks(1) == []


def test_webhook_secrets_are_shown_once_and_can_be_renewed(live: Live) -> None:
    live.add(*project_rows(1, "weather"))
    with live.client() as client:
        made = client.create_webhook(1, "http://127.0.0.1:9/hook", ["w3bstream.task.final"])
        assert made.secret.startswith("whsec_")
        assert made.secret not in str(client.list_webhooks(1))
        renewed = client.rotate_webhook_secret(made.webhook.id)
        assert renewed.secret != made.secret
        assert renewed.webhook.id == made.webhook.id
        assert client.set_webhook_disabled(made.webhook.id, disabled=True).disabled
        assert client.list_webhooks(1)[0].disabled
        for call in (
            client.rotate_webhook_secret,
            lambda i: client.set_webhook_disabled(i, disabled=True),
            client.replay_message,
        ):
            with pytest.raises(NotFound) as caught:
                call("ep_0")
            assert caught.value.code == "W3B-6004"

    async def stored() -> str:
        async with live.ledger.reading() as session:
            return (await session.exec(select(WebhookEndpointRow))).one().secret

    assert live.run(stored()) == renewed.secret


def test_deliveries_are_listed_and_replayed(live: Live) -> None:
    live.add(*project_rows(1, "weather"), *project_rows(2, "rain"))
    live.add(WebhookEndpointRow(id="ep_1", project_id=1, url="x", secret="s", events=[], created_at=1))
    live.add(
        *(
            WebhookMessageRow(
                id=f"msg_{n}",
                endpoint_id="ep_1",
                project_id=1,
                event_type="e",
                subject=str(n),
                body=b"{}",
                state="DEAD" if n % 2 else "DELIVERED",
                tries=3,
                created_at=1 + n // 2,
            )
            for n in range(7)
        )
    )
    live.add(
        WebhookDeliveryRow(message_id="msg_3", at=5, status_code=500, duration_ms=9),
        WebhookDeliveryRow(message_id="msg_3", at=6, error="timeout"),
    )
    with live.client() as client:
        page = client.list_deliveries(1, page_size=3)
        rest = client.list_deliveries(1, page_size=200, page_token=page.next_page_token)
        ids = [message.id for message in (*page.messages, *rest.messages)]
        assert ids == [f"msg_{n}" for n in (6, 5, 4, 3, 2, 1, 0)]
        third = (*page.messages, *rest.messages)[3]
        assert [(each.status_code, each.error) for each in third.deliveries] == [(500, ""), (0, "timeout")]
        assert [message.id for message in client.list_deliveries(1, state="DEAD").messages] == [
            "msg_5",
            "msg_3",
            "msg_1",
        ]
        assert list(client.list_deliveries(1, webhook_id="ep_2").messages) == []
        assert list(client.list_deliveries(2).messages) == []
        assert client.replay_message("msg_3").state == "PENDING"
        with pytest.raises(InvalidInput):
            client.list_deliveries(1, state="LOST")
        with pytest.raises(InvalidInput) as caught:
            client.list_deliveries(2, page_token=page.next_page_token)
        assert caught.value.code == "W3B-7009"


def test_status_tells_each_part(live: Live) -> None:
    live.add(*project_rows(1, "weather"), task_row(1), task_row(2, state="FINAL"))
    live.site.parts = [ComponentStatus("nats", False, "does not answer", "127.0.0.1:4222")]
    with live.client() as client:
        status = client.get_status()
    assert [(part.name, part.healthy, part.address) for part in status.components] == [
        ("nats", False, "127.0.0.1:4222")
    ]
    assert dict(status.tasks) == {"OPEN": 1, "FINAL": 1}
    assert status.contracts["router"] == f"0x{3:040x}"
    assert (status.chain_id, status.chain_rpc_url) == (4690, "http://127.0.0.1:8545")
    assert status.started_at.seconds > 1_700_000_000


def test_a_health_check_needs_no_key(live: Live) -> None:
    with grpc.insecure_channel(live.target) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", "w3bstream.v1.TaskService"):
            answer = health.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as caught:
            health.Check(health_pb2.HealthCheckRequest(service="w3bstream.v1.Nothing"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_health_watches_and_reflection_take_any_key(live: Live) -> None:
    metadata = (("authorization", f"Bearer {live.key('tasks:read')}"),)
    ask = reflection_pb2.ServerReflectionRequest(list_services="")
    with grpc.insecure_channel(live.target) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), metadata=metadata)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        reflect = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
        answers = reflect(iter([ask]), metadata=metadata)
        names = {service.name for service in next(answers).list_services_response.service}
        watch.cancel()
    assert {
        f"w3bstream.v1.{name}Service" for name in ("Project", "Task", "Ingest", "Prover", "Webhook", "Admin")
    } <= names


def test_streams_without_a_key_take_no_call_from_others(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many keyless streams as the server serves calls: all are refused, and a keyed call still goes through."""
    monkeypatch.setattr(api_server, "MAX_CALLS", 8)
    live.run(live.server.stop(0))
    live.server = live.new_server()
    host, port = live.run(live.server.start())
    ask = reflection_pb2.ServerReflectionRequest(list_services="")
    with grpc.insecure_channel(f"{host}:{port}") as channel, Client(f"{host}:{port}", live.admin_key) as client:
        watch = health_pb2_grpc.HealthStub(channel).Watch
        reflect = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
        opened = [watch(health_pb2.HealthCheckRequest()) for _ in range(8)] + [reflect(iter([ask])) for _ in range(8)]
        for stream in opened:
            with pytest.raises(grpc.RpcError) as caught:
                next(stream)
            assert caught.value.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.RESOURCE_EXHAUSTED)
        assert client.get_status().chain_id == 4690


def test_the_address_file_says_where_the_api_is(live: Live) -> None:
    path = live.home / "api.json"
    assert json.loads(path.read_text()) == {"target": live.target}
    live.run(live.server.stop(0))
    assert not path.exists()
    live.server = live.new_server()
    live.run(live.server.start())
    path.write_text(json.dumps({"target": "127.0.0.1:1"}))
    live.run(live.server.stop(0))
    assert path.exists()


def test_a_port_in_use_is_said(live: Live) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        """Holds a port."""

    holder = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=holder.serve_forever, daemon=True).start()
    live.settings = live.settings.model_copy(update={"api_port": holder.server_port})
    with pytest.raises(OSError, match=str(holder.server_port)):
        live.run(live.new_server().start())
    holder.shutdown()
    holder.server_close()


def test_two_servers_do_not_share_a_port(live: Live) -> None:
    live.settings = live.settings.model_copy(update={"api_port": int(live.target.rpartition(":")[2])})
    with pytest.raises(OSError, match="cannot listen"):
        live.run(live.new_server().start())


def test_the_server_listens_on_loopback_only(live: Live) -> None:
    assert live.target.startswith("127.0.0.1:")
    assert stat.S_IMODE((live.home / "admin.key").stat().st_mode) == 0o600
