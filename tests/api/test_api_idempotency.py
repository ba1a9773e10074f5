"""A create or submit that is repeated has one effect and one answer, also when both calls come at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from api_live import Live, project_rows, reading
from sqlmodel import select

from coordinator.api.client import Client
from coordinator.jobs.runner import JobRunner
from coordinator.ledger.outbox_tables import OutboxTxRow, WebhookEndpointRow
from coordinator.ledger.tables import ApiKeyRow, IdempotencyRow, ProjectRow
from verifier.errors import Conflict, InvalidInput, NotFound, Unavailable
from w3bstream.v1 import project_pb2


def count(live: Live, table: Any) -> int:
    async def rows() -> int:
        async with live.ledger.reading() as session:
            return len((await session.exec(select(table))).all())

    return live.run(rows())


def test_the_same_request_gets_the_same_answer(live: Live) -> None:
    with live.client() as client:
        first = client.create_project("weather", idempotency_key="one")
        assert client.create_project("weather", idempotency_key="one") == first
        key = client.create_api_key("reader", ["tasks:read"], idempotency_key="one")
        assert client.create_api_key("reader", ["tasks:read"], idempotency_key="one") == key
        hook = client.create_webhook(first.id, "http://127.0.0.1:9/hook", idempotency_key="one")
        assert client.create_webhook(first.id, "http://127.0.0.1:9/hook", idempotency_key="one") == hook
    assert count(live, ProjectRow) == count(live, OutboxTxRow) == count(live, WebhookEndpointRow) == 1
    assert count(live, ApiKeyRow) == 2


def test_another_request_under_the_same_key_is_refused(live: Live) -> None:
    with live.client() as client:
        client.create_project("weather", idempotency_key="one")
        with pytest.raises(Conflict) as caught:
            client.create_project("rain", idempotency_key="one")
        assert (caught.value.code, caught.value.field) == ("W3B-7007", "idempotency_key")
        client.create_api_key("reader", ["tasks:read"], idempotency_key="two")
        with pytest.raises(Conflict):
            client.create_api_key("reader", ["tasks:read", "tasks:write"], idempotency_key="two")
    assert count(live, ProjectRow) == 1


def test_another_caller_has_its_own_keys(live: Live) -> None:
    other = live.key("projects:write")
    with live.client() as admin, live.client(other) as client:
        admin.create_project("weather", idempotency_key="one")
        with pytest.raises(Conflict) as caught:
            client.create_project("weather", idempotency_key="one")
        assert caught.value.code == "W3B-2004"
        assert client.create_project("rain", idempotency_key="one").name == "rain"


def test_two_calls_at_once_have_one_effect(live: Live) -> None:
    def create(_: int) -> project_pb2.Project:
        with live.client() as client:
            return client.create_project("weather", idempotency_key="same")

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(create, range(16)))
    assert all(answer == answers[0] for answer in answers)
    assert count(live, ProjectRow) == 1


def test_a_failed_call_leaves_nothing_behind(live: Live) -> None:
    with live.client() as client:
        with pytest.raises(InvalidInput):
            client.create_project("No Good Name", idempotency_key="one")
        with pytest.raises(NotFound):
            client.create_webhook(77, "http://127.0.0.1:9/hook", idempotency_key="one")
        before = count(live, IdempotencyRow)
        assert client.create_project("weather", idempotency_key="one").name == "weather"
    assert before == 0


@pytest.mark.parametrize("key", ["a b", "ü", "x" * 129, "\n"])
def test_an_idempotency_key_has_limits(live: Live, key: str) -> None:
    with live.client() as client, pytest.raises(InvalidInput) as caught:
        client.create_project("weather", idempotency_key=key)
    assert caught.value.code == "W3B-7006"


def test_an_idempotency_key_is_required(live: Live) -> None:
    with live.client() as client, pytest.raises(InvalidInput) as caught:
        client._once(client._projects.CreateProject, project_pb2.CreateProjectRequest(name="weather"))
    assert caught.value.code == "W3B-7006"


def test_stored_answers_are_sealed_and_bound(live: Live) -> None:
    with live.client() as client:
        made = client.create_api_key("reader", ["tasks:read"], idempotency_key="one")
        assert made.secret.encode() not in b"".join(path.read_bytes() for path in live.home.glob("ledger.db*"))
        client.create_api_key("other", ["tasks:read"], idempotency_key="two")

        async def tamper(change: str) -> None:
            async with live.ledger.transaction() as session:
                one, two = (await session.exec(select(IdempotencyRow).order_by("idempotency_key"))).all()
                if change == "swap":
                    one.response = two.response
                else:
                    one.response = bytes([one.response[0] ^ 1]) + one.response[1:]
                session.add(one)

        for change in ("swap", "flip"):
            live.run(tamper(change))
            with pytest.raises(Conflict) as caught:
                client.create_api_key("reader", ["tasks:read"], idempotency_key="one")
            assert caught.value.code == "W3B-7007"


def test_submit_is_repeated_without_publishing_twice(streaming: Live) -> None:
    from api_live import reading

    with streaming.client() as client:
        readings = [reading(sequence) for sequence in range(1, 6)]

        def submit(_: int) -> Any:
            with streaming.client() as each:
                return each.submit_task(1, readings, idempotency_key="one")

        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(submit, range(4)))
        assert {answer.up_to for answer in answers} == {6}
        assert {tuple(task.id for task in answer.tasks) for answer in answers} == {(answers[0].tasks[0].id,)}
        assert client.submit_task(1, readings, idempotency_key="one").tasks[0].id == answers[0].tasks[0].id
        with pytest.raises(Conflict) as caught:
            client.submit_task(1, readings[:2], idempotency_key="one")
        assert caught.value.code == "W3B-7007"
        assert client.get_intake(1).accepted == 5
        assert not client.get_intake(1).refused
        assert len(client.list_tasks().tasks) == 1


def test_a_submit_goes_on_where_a_crash_left_it(streaming: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """The readings were published and windows formed, but the flush was not recorded when the service died."""

    class Died(Exception):
        """The process ends here."""

    async def die(*_: Any) -> Any:
        raise Died

    async def again() -> None:
        streaming.run_jobs()

    readings = [reading(sequence) for sequence in range(1, 21)]
    with monkeypatch.context() as dying, streaming.client(timeout=2) as client, pytest.raises(Unavailable):
        dying.setattr(JobRunner, "_flush", die)
        client.submit_task(1, readings, idempotency_key="one", timeout=2)
    with pytest.raises(Died):
        streaming.run(streaming.jobs_end())
    streaming.run(again())
    with streaming.client() as client:
        answer = client.submit_task(1, readings, idempotency_key="one")
        assert [(task.window_start, task.count) for task in answer.tasks] == [(1, 16), (17, 4)]
        assert client.get_intake(1).accepted == 20


def test_a_fresh_key_is_made_for_each_call(live: Live) -> None:
    live.add(*project_rows(1, "weather"))
    client: Client
    with live.client() as client:
        hooks = [client.create_webhook(1, "http://127.0.0.1:9/hook").webhook.id for _ in range(2)]
    assert hooks[0] != hooks[1]
