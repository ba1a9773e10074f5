"""What must hold: at least one 2xx for each webhook-id, which never changes; one endpoint's trouble is its own."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from aiohttp import web
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from sqlalchemy import update
from sqlmodel import select
from standardwebhooks import Webhook
from svix.webhooks import Webhook as SvixWebhook

from coordinator.ledger.control_tables import AuditRow
from coordinator.ledger.outbox_tables import WebhookDeliveryRow, WebhookEndpointRow, WebhookMessageRow
from coordinator.webhooks import endpoints
from coordinator.webhooks import receiver as receiving
from coordinator.webhooks import sender as sender_module
from coordinator.webhooks.backoff import Backoff
from coordinator.webhooks.event import TASK_FAILED, TASK_FINAL
from coordinator.webhooks.sender import GIVE_UP_SECONDS
from coordinator.webhooks.signatures import new_secret, public_key
from coordinator.webhooks.ssrf import UrlPolicy
from tests.webhooks.conftest import LOOPBACK, Desk, Receiver
from verifier.errors import InvalidInput, NotFound, Refused


async def test_a_message_arrives_signed_for_every_library(desk: Desk, receiver: Receiver) -> None:
    endpoint = await desk.endpoint(f"{receiver.url}/hook")
    (message,) = await desk.event("0xtask")
    row = await desk.run_until_state(desk.sender(), message, "DELIVERED")
    (got,) = receiver.got
    assert got.body == row.body, "byte for byte"
    assert got.headers["webhook-id"] == message
    assert got.headers["Content-Type"] == "application/cloudevents+json; charset=utf-8"
    assert Webhook(endpoint.secret).verify(got.body, got.headers) == json.loads(got.body)
    SvixWebhook(endpoint.secret).verify(got.body, got.headers)
    event = receiving.verify(got.headers, got.body, endpoint.secret)
    assert (event["type"], event["subject"], event["id"]) == (TASK_FINAL, "0xtask", message)
    parsed = JSONFormat().read(CloudEvent, got.body)
    assert parsed.get_source() == "/projects/1"
    assert parsed.get_data() == {"task_id": "0xtask", "note": "grüße"}
    (tried,) = await desk.tries(message)
    assert (tried.status_code, tried.error) == (200, "")


@pytest.mark.parametrize("part", ["body", "id", "timestamp", "signature", "secret"])
async def test_a_forged_webhook_is_refused(desk: Desk, receiver: Receiver, part: str) -> None:
    endpoint = await desk.endpoint(f"{receiver.url}/hook")
    (message,) = await desk.event("0xtask")
    await desk.run_until_state(desk.sender(), message, "DELIVERED")
    (got,) = receiver.got
    headers, body, secret = dict(got.headers), got.body, endpoint.secret
    match part:
        case "body":
            body = body.replace(b"0xtask", b"0xTask")
        case "id":
            headers["webhook-id"] = "msg_" + "0" * 24
        case "timestamp":
            headers["webhook-timestamp"] = str(int(headers["webhook-timestamp"]) - 1)
        case "signature":
            headers["webhook-signature"] = "v1,AAAA"
        case "secret":
            secret = new_secret()
    with pytest.raises(Refused, match="W3B-6003"):
        receiving.verify(headers, body, secret)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"webhook-id": "a", "webhook-timestamp": "x", "webhook-signature": "v1,AAAA"},
        {"webhook-id": "a", "webhook-timestamp": "9", "webhook-signature": "v1,AAAA"},
        {"webhook-id": "a", "webhook-timestamp": "nan", "webhook-signature": "v1"},
    ],
)
def test_malformed_headers_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(Refused, match="W3B-6003"):
        receiving.verify(headers, b"{}", new_secret())


@pytest.mark.parametrize("status", [500, 503, 404, 429, 302, 308])
async def test_anything_but_2xx_is_tried_again_with_the_same_id(desk: Desk, receiver: Receiver, status: int) -> None:
    await desk.endpoint(f"{receiver.url}/hook")
    (message,) = await desk.event("0xtask")
    times = 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal times
        times += 1
        return web.Response(status=status if times < 3 else 204, headers={"Location": f"{receiver.url}/elsewhere"})

    receiver.answers["/hook"] = answer
    row = await desk.run_until_state(desk.sender(), message, "DELIVERED")
    assert row.tries == 3
    assert {got.headers["webhook-id"] for got in receiver.got} == {message}
    assert len({got.body for got in receiver.got}) == 1
    assert receiver.at("/elsewhere") == [], "no redirect is followed"
    assert [tried.status_code for tried in await desk.tries(message)] == [status, status, 204]


async def test_a_redirect_to_a_private_address_goes_nowhere(desk: Desk, receiver: Receiver) -> None:
    await desk.endpoint(f"{receiver.url}/hook")
    (message,) = await desk.event("0xtask")

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": "http://169.254.169.254/latest/meta-data"})

    receiver.answers["/hook"] = answer
    await desk.run_until_state(desk.sender(cap=2), message, "DEAD")
    assert ["redirect" in tried.error for tried in await desk.tries(message)] == [True, True]


async def test_the_cap_ends_it_and_replay_begins_anew(desk: Desk, receiver: Receiver) -> None:
    await desk.endpoint(f"{receiver.url}/hook")
    receiver.answers["/hook"] = 500
    (message,) = await desk.event("0xtask")
    row = await desk.run_until_state(desk.sender(cap=3), message, "DEAD")
    assert row.tries == 3
    receiver.answers["/hook"] = 200
    async with desk.ledger.transaction() as session:
        await endpoints.replay(session, desk.ledger.clock(), message)
    row = await desk.run_until_state(desk.sender(cap=3), message, "DELIVERED")
    assert len(await desk.tries(message)) == 4
    assert {got.headers["webhook-id"] for got in receiver.got} == {message}
    async with desk.ledger.transaction() as session:
        with pytest.raises(NotFound, match="W3B-6004"):
            await endpoints.replay(session, 0, "msg_unknown")


async def disabled(desk: Desk, endpoint_id: str) -> bool:
    async with desk.ledger.reading() as session:
        return (await session.get_one(WebhookEndpointRow, endpoint_id)).disabled


async def test_gone_disables_the_endpoint_and_its_messages_wait(desk: Desk, receiver: Receiver) -> None:
    endpoint = await desk.endpoint(f"{receiver.url}/hook")
    receiver.answers["/hook"] = 410
    (message,) = await desk.event("0xtask")
    await desk.run_until(desk.sender(), lambda: disabled(desk, endpoint.id))
    async with desk.ledger.reading() as session:
        (row,) = await endpoints.list_endpoints(session, 1)
        (audit,) = (await session.exec(select(AuditRow))).all()
    assert (row.disabled, row.disabled_reason) == (True, "410 Gone")
    assert (audit.action, audit.actor, audit.subject) == ("webhook.disable", "webhooks", endpoint.id)
    assert audit.detail == {"reason": "410 Gone"}
    assert (await desk.message(message)).state == "PENDING"
    assert await desk.event("0xnext") == [], "nothing new is put in for it"
    receiver.answers["/hook"] = 200
    async with desk.ledger.transaction() as session:
        row = await endpoints.set_disabled(session, desk.ledger.clock(), endpoint.id, disabled=False)
    assert row.disabled_reason == ""
    await desk.run_until_state(desk.sender(), message, "DELIVERED")
    assert {got.headers["webhook-id"] for got in receiver.got} == {message}


async def test_an_endpoint_that_failed_for_days_is_disabled(desk: Desk, receiver: Receiver) -> None:
    endpoint = await desk.endpoint(f"{receiver.url}/hook")
    receiver.answers["/hook"] = 500
    (message,) = await desk.event("0xtask")

    async def failing() -> bool:
        return (await desk.message(message)).tries > 1

    await desk.run_until(desk.sender(), failing)
    assert not await disabled(desk, endpoint.id)
    async with desk.ledger.transaction() as session:
        row = await session.get_one(WebhookEndpointRow, endpoint.id)
        assert row.failing_since > 0
        row.failing_since -= int(GIVE_UP_SECONDS * 1000)
        session.add(row)
    await desk.run_until(desk.sender(), lambda: disabled(desk, endpoint.id))
    async with desk.ledger.reading() as session:
        (row,) = await endpoints.list_endpoints(session, 1)
    assert row.disabled_reason.startswith("every try failed since 20")
    assert (await desk.message(message)).state == "PENDING"


async def test_one_success_ends_the_failing(desk: Desk, receiver: Receiver) -> None:
    endpoint = await desk.endpoint(f"{receiver.url}/hook")
    receiver.answers["/hook"] = 500
    (message,) = await desk.event("0xtask")

    async def failing() -> bool:
        return (await desk.message(message)).tries > 0

    await desk.run_until(desk.sender(), failing)
    receiver.answers["/hook"] = 200
    await desk.run_until_state(desk.sender(), message, "DELIVERED")
    async with desk.ledger.reading() as session:
        assert (await session.get_one(WebhookEndpointRow, endpoint.id)).failing_since == 0


async def test_all_dead_messages_are_replayed(desk: Desk, receiver: Receiver) -> None:
    endpoint = await desk.endpoint(f"{receiver.url}/hook")
    other = await desk.endpoint(f"{receiver.url}/other")
    receiver.answers = {"/hook": 500, "/other": 500}
    messages = [each for at in range(5) for each in await desk.event(f"0x{at}")]

    async def all_dead() -> bool:
        return {(await desk.message(each)).state for each in messages} == {"DEAD"}

    await desk.run_until(desk.sender(cap=2), all_dead)
    receiver.answers = {}
    async with desk.ledger.transaction() as session:
        now = desk.ledger.clock()
        assert await endpoints.replay_dead(session, now, endpoint.id, now + 1) == 0, "none is so young"
        assert await endpoints.replay_dead(session, now, endpoint.id) == 5
    receiver.got.clear()
    mine = [each for each in messages if (await desk.message(each)).endpoint_id == endpoint.id]

    async def mine_done() -> bool:
        return {(await desk.message(each)).state for each in mine} == {"DELIVERED"}

    await desk.run_until(desk.sender(), mine_done)
    assert sorted(got.headers["webhook-id"] for got in receiver.got) == sorted(mine)
    left = [await desk.message(each) for each in messages if each not in mine]
    assert {(row.endpoint_id, row.state) for row in left} == {(other.id, "DEAD")}


async def test_a_replay_during_a_try_is_not_lost(desk: Desk, receiver: Receiver) -> None:
    """The message is replayed while its last try is under way: that try fails, and the message begins anew."""
    await desk.endpoint(f"{receiver.url}/hook")
    (message,) = await desk.event("0xtask")
    async with desk.ledger.transaction() as session:
        await session.exec(update(WebhookMessageRow).values(tries=1))

    async def replayed(_: web.Request) -> web.Response:
        receiver.answers["/hook"] = 200
        async with desk.ledger.transaction() as session:
            await endpoints.replay(session, desk.ledger.clock(), message)
        return web.Response(status=500)

    receiver.answers["/hook"] = replayed
    row = await desk.run_until_state(desk.sender(cap=2), message, "DELIVERED")
    assert row.tries == 1
    assert [tried.status_code for tried in await desk.tries(message)] == [500, 200]


async def test_a_body_that_is_cut_off_or_dribbles_does_not_undo_a_2xx(desk: Desk, receiver: Receiver) -> None:
    await desk.endpoint(f"{receiver.url}/cut")
    await desk.endpoint(f"{receiver.url}/drip")
    released = asyncio.Event()

    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"x")
        assert request.transport is not None
        request.transport.abort()
        return response

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"x")
        await released.wait()
        return response

    receiver.answers = {"/cut": cut, "/drip": drip}
    messages = await desk.event("0xtask")
    sender = desk.sender(UrlPolicy(allow_loopback=True, drain_seconds=0.1))

    async def done() -> bool:
        return {(await desk.message(each)).state for each in messages} == {"DELIVERED"}

    try:
        await desk.run_until(sender, done)
    finally:
        released.set()
    assert len(receiver.got) == 2


async def test_a_compressed_answer_is_not_unpacked(desk: Desk, receiver: Receiver) -> None:
    await desk.endpoint(f"{receiver.url}/hook")

    async def bomb(_: web.Request) -> web.Response:
        return web.Response(body=b"not gzip at all", headers={"Content-Encoding": "gzip"})

    receiver.answers["/hook"] = bomb
    (message,) = await desk.event("0xtask")
    assert (await desk.run_until_state(desk.sender(), message, "DELIVERED")).tries == 1


async def test_many_messages_arrive_once_each(desk: Desk, receiver: Receiver) -> None:
    """Batches of reads and commits neither lose nor double a message."""
    for path in ("/a", "/b", "/c"):
        await desk.endpoint(f"{receiver.url}{path}")
    messages = [each for at in range(60) for each in await desk.event(f"0x{at}")]

    async def done() -> bool:
        async with desk.ledger.reading() as session:
            left = select(WebhookMessageRow.id).where(WebhookMessageRow.state != "DELIVERED").limit(1)
            return (await session.exec(left)).first() is None

    await desk.run_until(desk.sender(), done)
    assert sorted(got.headers["webhook-id"] for got in receiver.got) == sorted(messages)
    async with desk.ledger.reading() as session:
        tries = (await session.exec(select(WebhookDeliveryRow.message_id))).all()
    assert sorted(tries) == sorted(messages)


async def test_a_timeout_and_a_closed_port_count_as_tries(desk: Desk, receiver: Receiver) -> None:
    await desk.endpoint(f"{receiver.url}/slow")
    await desk.endpoint("http://127.0.0.1:9/closed")

    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(3)
        return web.Response()

    receiver.answers["/slow"] = slow
    messages = await desk.event("0xtask")
    policy = UrlPolicy(allow_loopback=True, total_seconds=0.1, connect_seconds=0.1)
    sender = desk.sender(policy, cap=2)

    async def dead() -> bool:
        return all([(await desk.message(each)).state == "DEAD" for each in messages])

    await desk.run_until(sender, dead)
    errors = [tried.error for message in messages for tried in await desk.tries(message)]
    assert len(errors) == 4
    assert all(errors)


async def test_an_endless_answer_is_cut_off(desk: Desk, receiver: Receiver) -> None:
    await desk.endpoint(f"{receiver.url}/endless")

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(100_000):
            await response.write(b"x" * 4096)
        return response

    receiver.answers["/endless"] = endless
    (message,) = await desk.event("0xtask")
    row = await desk.run_until_state(desk.sender(), message, "DELIVERED")
    assert row.tries == 1


async def test_a_slow_endpoint_delays_nobody_else(desk: Desk, receiver: Receiver) -> None:
    await desk.endpoint(f"{receiver.url}/slow")
    await desk.endpoint(f"{receiver.url}/quick")
    released = asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        await released.wait()
        return web.Response()

    receiver.answers["/slow"] = slow
    for number in range(20):
        await desk.event(f"0x{number}")
    policy = UrlPolicy(allow_loopback=True, total_seconds=20.0)
    sender = desk.sender(policy, per_endpoint=2)

    async def quick_done() -> bool:
        return len(receiver.at("/quick")) == 20

    try:
        await desk.run_until(sender, quick_done)
    finally:
        released.set()
    assert len(receiver.at("/slow")) == 2, "its share of the connections and no more"


async def test_a_restart_in_the_middle_sends_the_same_message_again(desk: Desk, receiver: Receiver) -> None:
    await desk.endpoint(f"{receiver.url}/hook")
    (message,) = await desk.event("0xtask")
    arrived, released = asyncio.Event(), asyncio.Event()

    async def held(_: web.Request) -> web.Response:
        arrived.set()
        await released.wait()
        return web.Response()

    receiver.answers["/hook"] = held

    async def has_arrived() -> bool:
        return arrived.is_set()

    await desk.run_until(desk.sender(UrlPolicy(allow_loopback=True)), has_arrived)
    row = await desk.message(message)
    assert (row.state, row.tries) == ("PENDING", 0), "nothing was recorded: the answer never came"
    released.set()
    receiver.answers["/hook"] = 200
    row = await desk.run_until_state(desk.sender(), message, "DELIVERED")
    assert [got.headers["webhook-id"] for got in receiver.got] == [message, message]
    assert receiver.got[0].body == receiver.got[1].body


async def test_a_disabled_endpoint_waits_until_it_is_enabled(desk: Desk, receiver: Receiver) -> None:
    endpoint = await desk.endpoint(f"{receiver.url}/hook")
    (message,) = await desk.event("0xtask")
    async with desk.ledger.transaction() as session:
        await endpoints.set_disabled(session, desk.ledger.clock(), endpoint.id, disabled=True)
    sender = desk.sender()
    running = asyncio.create_task(sender.run())
    await asyncio.sleep(0.2)
    assert receiver.got == []
    async with desk.ledger.transaction() as session:
        await endpoints.set_disabled(session, desk.ledger.clock(), endpoint.id, disabled=False)
    async with asyncio.timeout(5):
        while not receiver.got:
            await asyncio.sleep(0.01)
    sender.stop()
    await running
    assert receiver.got[0].headers["webhook-id"] == message


async def test_a_retry_that_is_due_before_its_try_is_recorded_is_not_forgotten(
    desk: Desk, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "_IDLE_SECONDS", 600.0)
    await desk.endpoint(f"{receiver.url}/hook")
    receiver.answers["/hook"] = 500
    (message,) = await desk.event("0xtask")
    row = await desk.run_until_state(desk.sender(backoff=Backoff(pauses=(0.0,)), cap=5), message, "DEAD")
    assert row.tries == 5


async def test_tries_that_one_commit_does_not_hold_are_recorded_by_the_next(
    desk: Desk, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "_IDLE_SECONDS", 600.0)
    monkeypatch.setattr(sender_module, "_BATCH", 2)
    await desk.endpoint(f"{receiver.url}/hook")
    messages = [each for at in range(9) for each in await desk.event(f"0x{at}")]

    async def done() -> bool:
        return {(await desk.message(each)).state for each in messages} == {"DELIVERED"}

    await desk.run_until(desk.sender(per_endpoint=9), done)


@pytest.mark.parametrize("signing", ["v1", "v1a", "both"])
async def test_what_is_signed_ahead_verifies_too(desk: Desk, receiver: Receiver, signing: str) -> None:
    async with desk.ledger.transaction() as session:
        row = await endpoints.create_endpoint(
            session, desk.ledger.clock(), LOOPBACK, project_id=1, url=f"{receiver.url}/hook", signing=signing
        )
    messages = [each for at in range(20) for each in await desk.event(f"0x{at}")]

    async def done() -> bool:
        return {(await desk.message(each)).state for each in messages} == {"DELIVERED"}

    await desk.run_until(desk.sender(), done)
    keys = [row.secret] if row.secret else []
    keys += [public_key(row.signing_key)] if row.signing_key else []
    for key in keys:
        found = {receiving.verify(got.headers, got.body, key)["id"] for got in receiver.got}
        assert found == set(messages)


async def test_a_key_that_is_none_fails_its_tries_and_nothing_else(desk: Desk, receiver: Receiver) -> None:
    broken = await desk.endpoint(f"{receiver.url}/broken")
    await desk.endpoint(f"{receiver.url}/well")
    async with desk.ledger.transaction() as session:
        row = await session.get_one(WebhookEndpointRow, broken.id)
        row.secret, row.signing_key = "", "whsk_AAAA"
        session.add(row)
    messages = [each for at in range(6) for each in await desk.event(f"0x{at}")]

    async def ended() -> bool:
        return {(await desk.message(each)).state for each in messages} == {"DELIVERED", "DEAD"}

    await desk.run_until(desk.sender(cap=2), ended)
    assert len(receiver.at("/well")) == 6
    assert receiver.at("/broken") == []
    dead = [each for each in messages if (await desk.message(each)).endpoint_id == broken.id]
    assert {"W3B-6005" in tried.error for each in dead for tried in await desk.tries(each)} == {True}


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_retry_after_is_kept(desk: Desk, receiver: Receiver, form: str) -> None:
    await desk.endpoint(f"{receiver.url}/hook")

    async def later(_: web.Request) -> web.Response:
        at = datetime.now(UTC) + timedelta(seconds=30)
        return web.Response(
            status=429, headers={"Retry-After": "30" if form == "seconds" else format_datetime(at, usegmt=True)}
        )

    receiver.answers["/hook"] = later
    (message,) = await desk.event("0xtask")

    async def tried() -> bool:
        return (await desk.message(message)).tries == 1

    await desk.run_until(desk.sender(backoff=Backoff(pauses=(0.001,), longest=60.0)), tried)
    (log,) = await desk.tries(message)
    assert 25_000 <= (await desk.message(message)).next_at - log.at <= 30_000


async def test_only_wanted_events_go_out_and_each_once(desk: Desk, receiver: Receiver) -> None:
    await desk.endpoint(f"{receiver.url}/final", (TASK_FINAL,))
    await desk.endpoint(f"{receiver.url}/all")
    assert len(await desk.event("0xtask", TASK_FAILED)) == 1
    assert len(await desk.event("0xtask")) == 2
    assert await desk.event("0xtask") == [], "the same event again adds nothing"


async def test_an_unknown_event_type_is_refused(desk: Desk, receiver: Receiver) -> None:
    with pytest.raises(InvalidInput, match="W3B-6001"):
        await desk.endpoint(receiver.url, ("w3bstream.task.finall",))


async def test_no_pause_outlasts_a_clock_that_was_set_back(desk: Desk, receiver: Receiver) -> None:
    """While the sender runs, and while it does not; a pause that the present clock has written stays."""
    await desk.endpoint(f"{receiver.url}/hook")
    receiver.answers["/hook"] = 503
    clock, ahead = desk.ledger.clock, 7_200_000
    desk.ledger.clock = lambda: clock() + ahead
    (first,) = await desk.event("0xfirst")
    slow = Backoff(pauses=(600.0,), jitter=0.0)

    async def tried_twice() -> bool:
        nonlocal ahead
        count = len(await desk.tries(first))
        if count == 1:
            ahead = 0
        return count == 2

    await desk.run_until(desk.sender(backoff=slow), tried_twice)
    row = await desk.message(first)
    assert clock() < row.next_at <= clock() + 600_000

    ahead = 7_200_000
    (second,) = await desk.event("0xsecond")
    ahead, receiver.answers["/hook"] = 0, 200
    await desk.run_until_state(desk.sender(backoff=slow), second, "DELIVERED")
    assert (await desk.message(first)) == row
