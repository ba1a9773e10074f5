"""What must hold: whatever bytes one receiver answers, that is the outcome of its own try, and the messages to all others
go on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from coordinator.webhooks.guarded_client import GuardedClient, _retry_after
from tests.webhooks.conftest import Desk, Receiver

FOR_EVER = 10**20
ANSWERS: dict[str, Sequence[bytes]] = {
    "a year of twenty digits": [
        f"HTTP/1.1 503 No\r\nRetry-After: Mon, 01 Jan {FOR_EVER} 12:00:00 GMT\r\nContent-Length: 0\r\n\r\n".encode()
    ],
    "bytes for a date": [b"HTTP/1.1 503 No\r\nRetry-After: \xff\xfe\r\nContent-Length: 0\r\n\r\n"],
    "a chunk without a length": [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"ZZZ\r\nabc"],
    "no HTTP": [b"\x00\xff\xfe garbage\r\n\r\n"],
    "two lengths": [b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"],
    "a header without an end": [b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1_000_000],
    "interim answers": [b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000],
    "nothing": [],
}


async def answering(parts: Sequence[bytes]) -> asyncio.Server:
    """A server that sends these, each by itself, and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.02)  # so that the parts come one after the other
        except (asyncio.IncompleteReadError, ConnectionError):  # the client has had enough
            pass
        finally:
            writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_hostile_answer_is_its_own_try_s_outcome(desk: Desk, receiver: Receiver, answer: str) -> None:
    async with await answering(ANSWERS[answer]) as server:
        port = server.sockets[0].getsockname()[1]
        await desk.endpoint(f"http://127.0.0.1:{port}/hook")
        hostile = await desk.event("0xtask")
        await desk.endpoint(f"{receiver.url}/hook")
        sender = desk.sender(cap=2)

        async def over() -> bool:
            return all([(await desk.message(each)).state != "PENDING" for each in hostile + later])

        later = await desk.event("0xlater")
        await desk.run_until(sender, over)
    for message in hostile:
        assert (await desk.tries(message))[0].status_code in (None, 200, 503)
    assert [each.path for each in receiver.got] == ["/hook"], "delivered once, without a restart of the sender"


async def test_a_defect_of_our_own_stops_nobody_else(
    desk: Desk, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = await desk.endpoint(f"{receiver.url}/bad")
    (broken,) = await desk.event("0xtask")
    await desk.endpoint(f"{receiver.url}/good")
    (_, good) = await desk.event("0xother")
    post = GuardedClient.post

    async def breaking(self: GuardedClient, text: str, body: bytes, headers: dict[str, str]) -> object:
        if text == bad.url:
            raise KeyError("a defect")
        return await post(self, text, body, headers)

    monkeypatch.setattr(GuardedClient, "post", breaking)
    await desk.run_until_state(desk.sender(cap=1), broken, "DEAD")
    assert (await desk.tries(broken))[0].error == "internal error: KeyError"
    await desk.run_until_state(desk.sender(cap=1), good, "DELIVERED")


@pytest.mark.parametrize("part", ["01 Jan {} 12:00:00 GMT", "{} Jan 2026 12:00:00 GMT", "01 Jan 2026 {}:00:00 GMT"])
def test_a_date_out_of_all_ranges_is_none(part: str) -> None:
    assert _retry_after("Mon, " + part.format(FOR_EVER)) is None
