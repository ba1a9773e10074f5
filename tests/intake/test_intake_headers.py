"""What must hold: a publisher chooses the headers of a message too, and none of them stops the intake of its project or
the connection that all projects share."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from intake_world import KEYS, reading
from test_intake_service import ready, rows, taken

from coordinator.intake.nats_server import EmbeddedNats
from coordinator.intake.service import Intake
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import DeadLetterRow, ReadingRow


async def publish_with(server: EmbeddedNats, headers: bytes, data: bytes) -> None:
    """Publish over a bare socket, as no client library would let one."""
    url = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    await reader.readline()
    options = {"user": url.username, "pass": url.password, "headers": True, "verbose": False, "pedantic": False}
    subject = f"da.1.{KEYS[0].device.hex()}".encode()
    writer.write(b"CONNECT " + json.dumps(options).encode() + b"\r\n")
    writer.write(b"HPUB %s %d %d\r\n%s\r\n" % (subject, len(headers), len(headers) + len(data), headers + data))
    writer.write(b"PING\r\n")
    await writer.drain()
    assert await reader.readline() == b"PONG\r\n"
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    "headers",
    [
        b"NATS/1.0\r\nStatus: 409\r\n\r\n",
        b"NATS/1.0\r\nStatus: 100\r\n\r\n",
        b"NATS/1.0\r\nStatus: no number\r\nDescription: \xff\xfe\r\n\r\n",
        b"NATS/1.0 503\r\n\r\n",
        b"NATS/1.0 \xff\xff\xff\r\n\r\n",
        b"X",
        b"\r\n",
        b"NATS/1.0 ",
        b"NATS/1.0\r\n\xff: \xff\r\n: \r\nNats-Msg-Id\r\n",
    ],
)
async def test_headers_of_a_stranger_stop_nothing(
    ledger: Ledger, intake: Intake, server: EmbeddedNats, headers: bytes
) -> None:
    await ready(ledger, intake)
    await publish_with(server, headers, b"")
    (sent,) = await intake.publish(1, [reading(1)])
    await taken(ledger, sent.position + 1)
    letters = [(row.position, row.code) for row in await rows(ledger, DeadLetterRow)]
    assert letters == [(1, "W3B-1001")][: sent.position - 1], "an empty message is no reading, whatever its headers say"
    (kept,) = await rows(ledger, ReadingRow)
    assert (kept.position, kept.sequence) == (sent.position, 1)


async def test_an_intake_begins_again_behind_such_a_message(
    ledger: Ledger, intake: Intake, server: EmbeddedNats, make_intake: Callable[[], Intake]
) -> None:
    await ready(ledger, intake)
    await publish_with(server, b"X", b"")
    await taken(ledger, 2)
    await intake.stop()
    again = make_intake()
    running = asyncio.create_task(again.run())
    await again.publish(1, [reading(1)])
    await taken(ledger, 3)
    assert again.stopped(1) == ""
    await again.stop()
    await running
