"""What must hold: while the overlap lasts a receiver verifies with the old keys and with the new; afterwards, or at once
where the old ones are revoked, with the new only; and no rotation cuts off somebody else's."""

from __future__ import annotations

import asyncio

import pytest

from coordinator.ledger.outbox_tables import WebhookEndpointRow
from coordinator.ledger.store import Ledger
from coordinator.webhooks import endpoints, receiver, signatures
from coordinator.webhooks.outbox import keys_of
from tests.webhooks.conftest import LOOPBACK, Desk, Receiver
from verifier.errors import Conflict, InvalidInput, Refused

DAY = 86_400_000


def row_of(signing: str = "v1") -> WebhookEndpointRow:
    row = WebhookEndpointRow(
        id="ep_1", project_id=1, url="https://example.com/", events=[], created_at=1, secret=signatures.new_secret()
    )
    endpoints.rotate(row, 1, overlap_seconds=0, signing=signing)
    return row


async def sent(desk: Desk, got: Receiver, subject: str) -> tuple[dict[str, str], bytes]:
    (message,) = await desk.event(subject)
    await desk.run_until_state(desk.sender(), message, "DELIVERED")
    return got.got[-1].headers, got.got[-1].body


async def turned(desk: Desk, endpoint_id: str, **options: object) -> WebhookEndpointRow:
    async with desk.ledger.transaction() as session:
        row = await session.get_one(WebhookEndpointRow, endpoint_id)
        endpoints.rotate(row, desk.ledger.clock(), **options)  # type: ignore[arg-type]
        session.add(row)
    return row


def refused(headers: dict[str, str], body: bytes, key: str) -> bool:
    try:
        receiver.verify(headers, body, key)
    except Refused:
        return True
    return False


@pytest.mark.parametrize("signing", ["v1", "v1a", "both"])
async def test_both_keys_verify_in_the_overlap_and_one_after_it(desk: Desk, receiver: Receiver, signing: str) -> None:
    async with desk.ledger.transaction() as session:
        made = await endpoints.create_endpoint(
            session, desk.ledger.clock(), LOOPBACK, project_id=1, url=f"{receiver.url}/hook", signing=signing
        )

    def trusted(row: WebhookEndpointRow) -> list[str]:
        return [key for key in (row.secret, row.signing_key and signatures.public_key(row.signing_key)) if key]

    old = trusted(made)
    assert len(old) == (2 if signing == "both" else 1)
    new = trusted(await turned(desk, made.id))
    headers, body = await sent(desk, receiver, "0x1")
    assert not any(refused(headers, body, key) for key in [*old, *new])
    parts = headers["webhook-signature"].split(" ")
    assert len(parts) == 2 * len(old)
    assert [part.partition(",")[0] for part in parts[: len(new)]] == (["v1", "v1a"] if signing == "both" else [signing])

    async with desk.ledger.transaction() as session:
        row = await session.get_one(WebhookEndpointRow, made.id)
        row.previous_until = desk.ledger.clock()
        session.add(row)
    headers, body = await sent(desk, receiver, "0x2")
    assert not any(refused(headers, body, key) for key in new)
    assert all(refused(headers, body, key) for key in old), "the overlap has ended"


async def test_revoked_keys_sign_nothing_more(desk: Desk, receiver: Receiver) -> None:
    made = await desk.endpoint(f"{receiver.url}/hook")
    second = await turned(desk, made.id)
    third = await turned(desk, made.id, overlap_seconds=0)
    headers, body = await sent(desk, receiver, "0x1")
    assert not refused(headers, body, third.secret)
    assert refused(headers, body, made.secret)
    assert refused(headers, body, second.secret)
    assert (third.previous_secret, third.previous_until) == ("", 0)


async def test_rotations_at_the_same_time_cut_nobody_off(desk: Desk, receiver: Receiver) -> None:
    made = await desk.endpoint(f"{receiver.url}/hook")
    first, second = await asyncio.gather(turned(desk, made.id), turned(desk, made.id))
    headers, body = await sent(desk, receiver, "0x1")
    for row in (made, first, second):
        assert not refused(headers, body, row.secret)
    assert first.secret != second.secret


async def test_a_rotation_while_messages_wait_signs_them_anew(desk: Desk, receiver: Receiver, ledger: Ledger) -> None:
    made = await desk.endpoint(f"{receiver.url}/hook")
    receiver.answers["/hook"] = 500
    (message,) = await desk.event("0x1")

    async def failed() -> bool:
        return (await desk.message(message)).tries > 0

    await desk.run_until(desk.sender(), failed)
    new = await turned(desk, made.id, overlap_seconds=0)
    receiver.answers["/hook"] = 200
    await desk.run_until_state(desk.sender(), message, "DELIVERED")
    before, after = receiver.got[0], receiver.got[-1]
    assert before.body == after.body
    assert before.headers["webhook-id"] == after.headers["webhook-id"]
    assert refused(before.headers, before.body, new.secret)
    assert not refused(after.headers, after.body, new.secret)


def test_a_second_rotation_in_the_overlap_keeps_the_first_old_key_and_a_third_is_refused() -> None:
    row = row_of()
    keys = [row.secret]
    endpoints.rotate(row, 10, overlap_seconds=86_400)
    keys.insert(0, row.secret)
    endpoints.rotate(row, 20, overlap_seconds=60)
    keys.insert(0, row.secret)
    assert row.previous_until == 10 + DAY, "the later end"
    assert keys_of(row, 30) == tuple(keys)
    assert keys_of(row, 10 + DAY) == (row.secret,)
    with pytest.raises(Conflict, match="W3B-6006"):
        endpoints.rotate(row, 30)
    assert keys_of(row, 30) == tuple(keys), "nothing changed"
    endpoints.rotate(row, 10 + DAY)
    assert keys_of(row, 10 + DAY) == (row.secret, keys[0]), "what had run out does not come back"


def test_the_schemes_change_with_a_rotation() -> None:
    row = row_of()
    old = row.secret
    endpoints.rotate(row, 1, signing="v1a")
    assert (row.secret, endpoints.signing_of(row)) == ("", "v1a")
    assert keys_of(row, 2) == (row.signing_key, old)
    endpoints.rotate(row, 3, overlap_seconds=0, signing="both")
    assert endpoints.signing_of(row) == "both"
    assert keys_of(row, 4) == (row.secret, row.signing_key)


@pytest.mark.parametrize("options", [{"overlap_seconds": -1}, {"overlap_seconds": 604_801}, {"signing": "v2"}])
def test_what_cannot_be_asked_for(options: dict[str, object]) -> None:
    row = row_of()
    before = row.model_dump()
    with pytest.raises(InvalidInput, match="W3B-7008"):
        endpoints.rotate(row, 1, **options)  # type: ignore[arg-type]
    assert row.model_dump() == before
