"""Clients that are slow on purpose hold no connection: half a request head, a form that never ends."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import aiohttp
import pytest

from coordinator.explorer import slow_clients
from coordinator.explorer.slow_clients import FirstRequests
from tests.explorer_world import World


async def dial(world: World) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    where = urlsplit(world.url)
    return await asyncio.open_connection(where.hostname, where.port)


def hurry(world: World, seconds: float) -> None:
    """Give the explorer that runs a shorter time."""
    world.server._first._head_seconds = seconds


@pytest.mark.parametrize("sent", [b"", b"G", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "])
async def test_half_a_request_head_is_cut_off(world: World, http: aiohttp.ClientSession, sent: bytes) -> None:
    hurry(world, 0.5)
    reader, writer = await dial(world)
    writer.write(sent)
    assert await asyncio.wait_for(reader.read(), 20) == b""
    writer.close()
    async with http.get(f"{world.url}/sign-in") as answer:
        assert answer.status == 200


async def test_one_byte_after_the_other_gains_no_time(world: World) -> None:
    hurry(world, 1.0)
    reader, writer = await dial(world)
    ended = asyncio.create_task(reader.read())
    loop = asyncio.get_running_loop()
    until = loop.time() + 20
    writer.write(b"GET / HTTP/1.1\r\nX-Slow: ")
    while not ended.done() and loop.time() < until:
        writer.write(b"a")
        await asyncio.sleep(0.1)  # what a slow client does
    assert ended.done(), "the connection is held for as long as the client drips"
    writer.close()


async def test_a_connection_that_has_asked_once_is_not_cut_off(world: World) -> None:
    hurry(world, 0.5)
    reader, writer = await dial(world)
    where = urlsplit(world.url).netloc.encode()
    writer.write(b"GET /sign-in HTTP/1.1\r\nHost: " + where + b"\r\n\r\n")
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n"), 20)).startswith(b"HTTP/1.1 200")
    await asyncio.sleep(1.5)  # three times what a silent one has
    writer.write(b"GET /sign-in HTTP/1.1\r\nHost: " + where + b"\r\nConnection: close\r\n\r\n")
    rest = await asyncio.wait_for(reader.read(), 20)
    assert rest.count(b"HTTP/1.1 200") == 1
    writer.close()


async def test_a_form_that_never_ends_is_answered_with_a_code(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_clients.read_form, "__defaults__", (0.3,))
    where = urlsplit(world.url).netloc
    reader, writer = await dial(world)
    writer.write(
        f"POST /sign-in HTTP/1.1\r\nHost: {where}\r\nOrigin: {world.url}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\nkey=".encode()
    )
    answer = await asyncio.wait_for(reader.readuntil(b"}}"), 20)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"W3B-7008" in answer
    writer.close()


def test_what_is_kept_of_connections_goes_with_them() -> None:
    class Connection:
        closed = False

        def force_close(self) -> None:
            self.closed = True

    first, silent, asked = FirstRequests(10.0), Connection(), Connection()
    first.look([silent, asked], 0.0)
    first._heard.add(asked)
    first.look([silent, asked], 9.9)
    assert not silent.closed
    first.look([silent, asked], 10.0)
    assert (silent.closed, asked.closed) == (True, False)
    first.look([], 11.0)
    assert not first._heard
    assert not first._silent_since
