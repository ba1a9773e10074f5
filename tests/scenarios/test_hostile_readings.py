"""What must hold: while a stranger with the stream's password pours in rubbish, forgeries and repeats, every honest
reading becomes final exactly once, every message has one place with a reason, and memory stays bounded."""

from __future__ import annotations

import asyncio
import json
import random

import nats
import pytest

from coordinator.api.client import Client
from tests.e2e.installation import Installation, until
from tests.e2e.weather_project import WeatherProject, require_exactly_once, temperatures, wait_final

VALUES = temperatures(64)
TASKS = 4
HOSTILE = 4_000
GROWTH = 400 << 20
"""Bytes by which the service may grow meanwhile; the rubbish alone would be more if it were kept."""


def hostile(honest: list[bytes], number: int, draw: random.Random) -> bytes:
    """A repeat of an honest reading, a flipped bit of one, a cut, or noise of up to 8 KiB."""
    wire = bytearray(draw.choice(honest))
    kind = number % 4
    if kind == 1:
        wire[draw.randrange(len(wire))] ^= 1 << draw.randrange(8)
    elif kind == 2:
        del wire[draw.randrange(len(wire)) :]
    elif kind == 3:
        return draw.randbytes(draw.randrange(8_000))
    return bytes(wire)


async def pour(url: str, project: int, honest: list[bytes]) -> None:
    """Publish the hostile messages past the API, under devices' subjects."""
    client, draw = await nats.connect(url), random.Random(7)
    js = client.jetstream(publish_async_max_pending=256)
    waiting = []
    for number in range(HOSTILE):
        subject = f"da.{project}.{honest[number % len(honest)][74:94].hex()}"
        waiting.append(await js.publish_async(subject, hostile(honest, number, draw), wait_stall=60.0))
    await asyncio.gather(*waiting)
    await client.close()


@pytest.mark.slow
def test_hostile_readings(installation: Installation, client: Client) -> None:
    project = WeatherProject(client, "hostile")
    honest = project.sign(VALUES)
    endpoint = json.loads((installation.home / "nats" / "endpoint.json").read_text())
    url = f"nats://{endpoint['user']}:{endpoint['password']}@127.0.0.1:{endpoint['port']}"
    # The honest half is in before the rubbish, so that a repeat is a repeat; the other half comes after it.
    assert client.ingest(honest[:32]).accepted == 32
    before = installation.process.memory_info().rss
    asyncio.run(pour(url, project.id, honest[:32]))
    summary = client.ingest(honest[32:])
    assert (summary.accepted, summary.refused) == (32, 0)
    last = summary.last_position

    until(lambda: client.get_intake(project.id).next_position > last, 180, "the intake has taken everything")
    wait_final(client, project.id, TASKS)
    require_exactly_once(installation, project.id, VALUES)
    status = client.get_intake(project.id)
    assert (status.accepted, sum(status.refused.values())) == (len(VALUES), HOSTILE)
    assert {"W3B-1001", "W3B-1003", "W3B-1005"} <= set(status.refused)
    assert status.stopped == ""
    assert installation.process.memory_info().rss - before < GROWTH
    assert client.verify_stream(project.id).different == 0
