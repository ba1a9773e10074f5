"""What must hold: a redirect is a failed try and is followed nowhere, least of all to an address inside; the message is
delivered where the endpoint itself answers again."""

from __future__ import annotations

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
    sender_process,
    statuses,
)

CODES = (301, 302, 303, 307, 308)


async def test_webhook_redirects(databases: Databases, tmp_path: Path) -> None:
    ledger = Ledger(databases.sqlite(tmp_path / "ledger.db"))
    with Listener() as inside:

        def behave(connection: socket.socket, number: int) -> None:
            if number < len(CODES):
                head = f"HTTP/1.1 {CODES[number]} Elsewhere\r\nlocation: {inside.url}\r\ncontent-length: 0\r\n\r\n"
                connection.sendall(head.encode())
            else:
                connection.sendall(NO_CONTENT)

        with OddReceiver(behave) as receiver:
            await endpoint(ledger, receiver.url)
            (only,) = await event(ledger, "0x1")
            with sender_process(ledger, pauses=(0.05,)):
                await delivered(ledger, [only])
        assert inside.got == [], "nobody went there"
    assert await statuses(ledger, only) == [*CODES, 204]
    assert receiver.ids == [only] * (len(CODES) + 1)
    await ledger.close()
