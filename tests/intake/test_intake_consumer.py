"""What must hold: the consumer asks for more before it ran dry, and neither forgets a request nor piles them up."""

from __future__ import annotations

import asyncio

import nats
import pytest
from intake_world import reading
from test_intake_crashes import make_stream

from coordinator.intake import consumer as consumer_module
from coordinator.intake.consumer import StreamMessage
from coordinator.intake.nats_server import EmbeddedNats
from coordinator.intake.stream import CONSUMER, DaConsumer, stream_name
from coordinator.ledger.store import Ledger
from verifier.errors import Unavailable

PULL = 8
EXPIRE_SECONDS = 0.25


@pytest.fixture(autouse=True)
def small_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer_module, "PULL", PULL)
    monkeypatch.setattr(consumer_module, "PULL_BELOW", PULL // 2)
    monkeypatch.setattr(consumer_module, "PULL_SECONDS", EXPIRE_SECONDS)
    monkeypatch.setattr(consumer_module, "HEARTBEAT_SECONDS", EXPIRE_SECONDS / 4)
    # However slow the machine is, a late heartbeat is not what these tests are about.
    monkeypatch.setattr(consumer_module, "MISSED_HEARTBEATS", 1000)


async def drained(consumer: DaConsumer, count: int) -> list[int]:
    """The positions of the next `count` messages."""
    positions: list[int] = []
    while len(positions) < count:
        messages = await consumer.fetch(3, 30)
        positions += [message.position for message in messages]
        await consumer.ack(messages)
    return positions


async def test_requests_that_run_out_are_counted_down_not_piled_up(ledger: Ledger, server: EmbeddedNats) -> None:
    stream = await make_stream(ledger, server)
    consumer = await stream.consume(1, 1)
    client = await nats.connect(server.url)
    for turn in range(4):
        await stream.publish([reading(5 * turn + each) for each in range(1, 6)])
        assert await drained(consumer, 5) == list(range(5 * turn + 1, 5 * turn + 6))
        # Longer than a request lasts: whatever is open at the server runs out, and is asked for again.
        assert await consumer.fetch(1, 2 * EXPIRE_SECONDS) == []
        info = await client.jetstream().consumer_info(stream_name(1), CONSUMER)
        assert info.num_waiting is not None
        assert info.num_waiting <= 2
    await client.close()
    await consumer.close()
    await stream.close()


async def test_a_backlog_of_many_requests_comes_whole_and_in_order(ledger: Ledger, server: EmbeddedNats) -> None:
    stream = await make_stream(ledger, server)
    await stream.publish([reading(each) for each in range(1, 101)])
    consumer = await stream.consume(1, 1)
    assert await drained(consumer, 100) == list(range(1, 101))
    assert await consumer.fetch(1, 2 * EXPIRE_SECONDS) == []
    await stream.publish([reading(101)])
    assert await drained(consumer, 1) == [101]
    await consumer.close()
    await stream.close()


async def test_a_trace_in_the_headers_is_read_and_a_broken_one_is_not(ledger: Ledger, server: EmbeddedNats) -> None:
    stream = await make_stream(ledger, server)
    client = await nats.connect(server.url)
    trace = f"00-{'ab' * 16}-{'cd' * 8}-01"
    for sequence, found in enumerate((trace, "traceparent: of nobody", "")):
        one = reading(sequence + 1)
        await client.jetstream().publish(
            one.subject(), one.to_wire(), headers={"traceparent": found} if found else None
        )
    consumer = await stream.consume(1, 1)
    messages: list[StreamMessage] = []
    while len(messages) < 3:
        messages += await consumer.fetch(3, 30)
    assert [message.trace for message in messages] == [trace, "", ""]
    await client.close()
    await consumer.close()
    await stream.close()


async def test_a_server_that_sends_what_nobody_asked_for_fills_no_memory(
    ledger: Ledger, server: EmbeddedNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "MOST_HELD", 20)
    stream = await make_stream(ledger, server)
    await stream.publish([reading(each) for each in range(1, 41)])
    consumer = await stream.consume(1, 1)
    client = await nats.connect(server.url)
    subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream_name(1)}.{CONSUMER}"
    await client.publish(subject, b'{"batch":40}', reply=consumer._inbox)
    await client.flush()
    async with asyncio.timeout(30):
        while (await client.jetstream().consumer_info(stream_name(1), CONSUMER)).num_ack_pending != 40:
            await asyncio.sleep(0.01)  # until the server has sent them all
    await consumer._client.flush()
    assert await drained(consumer, 20) == list(range(1, 21))
    await stream.publish([reading(41)])
    with pytest.raises(Unavailable, match="was lost after position 20"):
        await consumer.fetch(3, 30)
    await client.close()
    await consumer.close()
    await stream.close()
