"""What must hold: an endpoint that answers 500 for an hour loses nothing: each message is tried again by the schedule,
stays alive, and is delivered once under its webhook-id after the hour. (The clock of the schedule runs faster here.)"""

from __future__ import annotations

import asyncio
from pathlib import Path

from coordinator.ledger.store import Ledger
from coordinator.webhooks.backoff import PAUSES
from tests.databases import Databases
from tests.e2e.webhook_listener import Listener
from tests.scenarios.webhook_process import delivered, endpoint, event, message, sender_process, statuses

FASTER = 3000
HOUR = 3600 / FASTER


async def test_webhook_errors_for_an_hour(databases: Databases, tmp_path: Path) -> None:
    ledger = Ledger(databases.sqlite(tmp_path / "ledger.db"))
    with Listener(status=500) as receiver:
        await endpoint(ledger, receiver.url)
        messages = [each for at in range(10) for each in await event(ledger, f"0x{at}")]
        with sender_process(ledger, pauses=[pause / FASTER for pause in PAUSES]):
            while not receiver.got:
                await asyncio.sleep(0.01)
            await asyncio.sleep(HOUR)  # the outage itself
            rows = [await message(ledger, each) for each in messages]
            assert {row.state for row in rows} == {"PENDING"}
            receiver.status = 204
            await delivered(ledger, messages)
    for each in messages:
        codes = await statuses(ledger, each)
        assert codes[-1] == 204
        assert set(codes[:-1]) == {500}
        assert len(codes) <= len(PAUSES) + 1
    assert len(receiver.got) >= 3 * len(messages), "0 s, 5 s and 5 min into the hour"
    accepted = [got for got in receiver.got if got.status == 204]
    assert sorted(got.id for got in accepted) == sorted(messages), "once each"
    assert {got.body for got in accepted} == {(await message(ledger, each)).body for each in messages}
    await ledger.close()
