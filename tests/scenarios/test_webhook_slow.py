"""What must hold: a receiver that takes a request and never answers delays nobody else's messages, and each of its own
is sent again under the same webhook-id until it answers."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from coordinator.ledger.store import Ledger
from tests.databases import Databases
from tests.e2e.webhook_listener import Listener
from tests.scenarios.webhook_process import (
    NO_CONTENT,
    OddReceiver,
    delivered,
    endpoint,
    event,
    message,
    sender_process,
    statuses,
)


async def test_webhook_slow(databases: Databases, tmp_path: Path) -> None:
    ledger = Ledger(databases.sqlite(tmp_path / "ledger.db"))
    answers = asyncio.Event()

    def behave(connection: socket.socket, _number: int) -> None:
        if answers.is_set():
            connection.sendall(NO_CONTENT)
        else:
            slow.over.wait()

    with OddReceiver(behave) as slow, Listener() as quick:
        stuck, fine = await endpoint(ledger, slow.url), await endpoint(ledger, quick.url)
        messages = [each for at in range(20) for each in await event(ledger, f"0x{at}")]
        owners = {each: (await message(ledger, each)).endpoint_id for each in messages}
        with sender_process(ledger):
            await delivered(ledger, [each for each, owner in owners.items() if owner == fine.id])
            late = [each for each, owner in owners.items() if owner == stuck.id]
            assert {(await message(ledger, each)).state for each in late} == {"PENDING"}
            answers.set()
            await delivered(ledger, late)
        assert set(slow.ids) == set(late)
        assert sorted(each.id for each in quick.got) == sorted(set(messages) - set(late)), "once each"
        for each in late:
            codes = await statuses(ledger, each)
            assert codes[-1] == 204
            assert set(codes[:-1]) <= {None}
    await ledger.close()
