"""What must hold: servers that answer oddly, late or not at all cost a try and the connection, never another message's
answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest

from coordinator.webhooks import guarded_client
from coordinator.webhooks.guarded_client import GuardedClient
from coordinator.webhooks.ssrf import UrlPolicy

LOOPBACK = UrlPolicy(allow_loopback=True, total_seconds=5.0)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def request(reader: asyncio.StreamReader) -> bytes:
    """One request with its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    return head + await reader.readexactly(length)


@asynccontextmanager
async def served(serve: Serve) -> AsyncIterator[tuple[str, list[int]]]:
    """A server's URL and the connections that it took."""
    taken: list[int] = []

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.append(len(taken))
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # the client hung up, as it should
        finally:
            writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook?a=b%20c", taken
    server.close()


def answering(*answers: bytes, then_close: bool = False) -> Serve:
    """Gives each request of a connection the next answer, the last one again and again."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = list(answers)
        while True:
            await request(reader)
            writer.write(left.pop(0) if len(left) > 1 else left[0])
            await writer.drain()
            if then_close:
                return

    return serve


async def test_the_request_is_what_it_should_be() -> None:
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await request(reader))
        writer.write(OK)

    client = GuardedClient(LOOPBACK)
    async with served(serve) as (url, _):
        assert (await client.post(url, b"{}", {"webhook-id": "msg_1"})).status == 200
    host = url.split("/")[2]
    assert seen[0].split(b"\r\n") == [
        b"POST /hook?a=b%20c HTTP/1.1",
        f"Host: {host}".encode(),
        b"Accept: */*",
        b"Accept-Encoding: identity",
        b"webhook-id: msg_1",
        b"Content-Length: 2",
        b"",
        b"{}",
    ]
    await client.close()


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\nb", "a\rb", "a\0b", "ü"])
async def test_a_header_cannot_bring_another(value: str) -> None:
    client = GuardedClient(LOOPBACK)
    async with served(answering(OK)) as (url, taken):
        with pytest.raises(ValueError, match=r"line break|ascii"):
            await client.post(url, b"", {"webhook-id": value})
    assert taken == []
    await client.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 204 No Content\r\n\r\n",
        OK,
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ],
)
async def test_a_whole_answer_leaves_the_connection_for_the_next(answer: bytes) -> None:
    client = GuardedClient(LOOPBACK)
    async with served(answering(answer)) as (url, taken):
        for _ in range(3):
            assert 200 <= (await client.post(url, b"{}", {})).status < 300
        assert len(taken) == 1
        await client.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        OK + b"HTTP/1.1 500 Not Asked\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nwhat else",
    ],
)
async def test_after_an_odd_answer_the_next_has_a_connection_of_its_own(answer: bytes) -> None:
    client = GuardedClient(LOOPBACK)
    async with served(answering(answer)) as (url, taken):
        for _ in range(2):
            assert (await client.post(url, b"{}", {})).status in (200, 101)
        assert len(taken) == 2
        await client.close()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200", b"hello\r\n\r\n", b"HTTP/1.1 200 OK\r\nBad\0: x\r\n\r\n"])
async def test_no_answer_is_an_error(answer: bytes) -> None:
    client = GuardedClient(LOOPBACK)
    async with served(answering(answer, then_close=True)) as (url, _):
        with pytest.raises((aiohttp.ClientError, OSError)):
            await client.post(url, b"{}", {})
        assert not any(client._resting.values())
        await client.close()


async def test_a_late_answer_is_nobodys() -> None:
    """The first try runs out of time; its answer comes afterwards, and the second try does not take it for its own."""
    late = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = b"first" in await request(reader)
        if first:
            await late.wait()
        writer.write(b"HTTP/1.1 500 Late\r\nContent-Length: 0\r\n\r\n" if first else OK)

    client = GuardedClient(UrlPolicy(allow_loopback=True, total_seconds=0.1))
    async with served(serve) as (url, taken):
        with pytest.raises(TimeoutError):
            await client.post(url, b"first", {})
        late.set()
        assert (await client.post(url, b"second", {})).status == 200
        assert len(taken) == 2
        await client.close()


async def test_the_time_of_each_post_is_its_own() -> None:
    """A connection's later POSTs run out of time by their own clock, not by its first one's."""
    turns = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal turns
        while True:
            await request(reader)
            turns += 1
            if turns > 4:
                await reader.read()
            await asyncio.sleep(0.1)  # each answer takes a third of what it may
            writer.write(OK)

    client = GuardedClient(UrlPolicy(allow_loopback=True, total_seconds=0.3))
    async with served(serve) as (url, taken):
        for _ in range(4):
            assert (await client.post(url, b"{}", {})).status == 200
        with pytest.raises(TimeoutError):
            await client.post(url, b"{}", {})
        assert len(taken) == 1
        await client.close()


async def test_a_cancelled_post_takes_its_connection_with_it() -> None:
    reached = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        reached.set()
        await reader.read()

    client = GuardedClient(LOOPBACK)
    async with served(serve) as (url, _):
        task = asyncio.create_task(client.post(url, b"{}", {}))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not any(client._resting.values())
        await client.close()


async def test_what_rests_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded_client, "IDLE_SECONDS", 0.05)
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(OK)
        await reader.read()
        gone.set()

    client = GuardedClient(LOOPBACK)
    async with served(serve) as (url, _):
        assert (await client.post(url, b"{}", {})).status == 200
        async with asyncio.timeout(5):
            await gone.wait()
        assert not client._resting
        await client.close()
