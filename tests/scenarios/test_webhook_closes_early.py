"""What must hold: a connection that is closed or reset before an answer is a failed try, whatever part of one came; a
reset after the head of a 200 is a delivery; and the message keeps its webhook-id."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

from coordinator.ledger.store import Ledger
from tests.databases import Databases
from tests.scenarios.webhook_process import OddReceiver, delivered, endpoint, event, message, sender_process, statuses

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of zero seconds: closing sends RST."""


def behave(connection: socket.socket, number: int) -> None:
    """Nothing at all, a reset, half a head, garbage, and then a 200 whose body is cut off by a reset."""
    match number:
        case 1:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        case 2:
            connection.sendall(b"HTTP/1.1 20")
        case 3:
            connection.sendall(b"\x00\x01\x02 200 OK\r\n\r\n")
        case 4:
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


async def test_webhook_closes_early(databases: Databases, tmp_path: Path) -> None:
    ledger = Ledger(databases.sqlite(tmp_path / "ledger.db"))
    with OddReceiver(behave) as receiver:
        await endpoint(ledger, receiver.url)
        (only,) = await event(ledger, "0x1")
        with sender_process(ledger, pauses=(0.05,)):
            await delivered(ledger, [only])
    assert receiver.ids == [only] * 5
    codes = await statuses(ledger, only)
    assert codes[-1] == 200
    assert all(code is None or not 200 <= code < 300 for code in codes[:-1])
    assert (await message(ledger, only)).tries == 5
    await ledger.close()
