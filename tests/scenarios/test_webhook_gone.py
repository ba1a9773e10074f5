"""What must hold: 410 disables the endpoint with its reason and stops its deliveries; the messages wait, other endpoints
go on, and once it is enabled everything that waited is delivered under the same webhook-ids."""

from __future__ import annotations

import asyncio
from pathlib import Path

from coordinator.ledger.outbox_tables import WebhookEndpointRow
from coordinator.ledger.store import Ledger
from coordinator.webhooks.endpoints import set_disabled
from tests.databases import Databases
from tests.e2e.webhook_listener import Listener
from tests.scenarios.webhook_process import WAIT_SECONDS, delivered, endpoint, event, message, sender_process


async def test_webhook_gone(databases: Databases, tmp_path: Path) -> None:
    ledger = Ledger(databases.sqlite(tmp_path / "ledger.db"))
    with Listener(status=410) as gone, Listener() as other:
        left, kept = await endpoint(ledger, gone.url), await endpoint(ledger, other.url)
        messages = [each for at in range(10) for each in await event(ledger, f"0x{at}")]
        owners = {each: (await message(ledger, each)).endpoint_id for each in messages}
        mine = [each for each, owner in owners.items() if owner == left.id]
        with sender_process(ledger):
            await delivered(ledger, [each for each, owner in owners.items() if owner == kept.id])
            async with asyncio.timeout(WAIT_SECONDS):
                while not (row := await _row(ledger, left.id)).disabled:
                    await asyncio.sleep(0.05)
            assert row.disabled_reason == "410 Gone"
            assert {(await message(ledger, each)).state for each in mine} == {"PENDING"}
            # Long enough for whatever was under way when it was disabled, and for a try that must not come.
            await asyncio.sleep(1.5)
            before = len(gone.got)
            await asyncio.sleep(1.0)
            assert len(gone.got) == before, "nothing more is sent"
            gone.status = 204
            async with ledger.transaction() as session:
                await set_disabled(session, ledger.clock(), left.id, disabled=False)
            await delivered(ledger, mine)
        assert sorted(got.id for got in gone.got if got.status == 204) == sorted(mine), "once each"
    await ledger.close()


async def _row(ledger: Ledger, endpoint_id: str) -> WebhookEndpointRow:
    async with ledger.reading() as session:
        return await session.get_one(WebhookEndpointRow, endpoint_id)
