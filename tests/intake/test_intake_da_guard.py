"""What must hold: a project's own DA URL reaches no address that the policy does not allow, whatever names and servers
say; and a DA server that does not answer holds up nobody else."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from intake_world import PROGRAMS, add_project, add_version, until
from sqlmodel import select

from coordinator.intake.da_client import DaClient
from coordinator.intake.nats_server import EmbeddedNats
from coordinator.intake.service import Intake
from coordinator.intake.stream import JetStream
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import ProjectVersionRow
from coordinator.projects.da_url import check_da_url, da_policy
from coordinator.settings import Settings
from coordinator.webhooks.ssrf import UrlPolicy
from verifier.errors import InvalidInput, Refused, Unavailable

STRICT = UrlPolicy()
LOOPBACK = UrlPolicy(allow_loopback=True)
PRIVATE = UrlPolicy(allow_private=True)


class Server:
    """A TCP server that counts who comes, and greets as a NATS server that names another one."""

    def __init__(self, announced: str = "") -> None:
        self.announced = announced
        self.visits = 0

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._greet, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visits += 1
        writer.write(
            b'INFO {"server_id":"x","version":"2.10.0","max_payload":1048576,"proto":1,"headers":true,'
            b'"connect_urls":["%s"]}\r\nPONG\r\n' % self.announced.encode()
        )
        await writer.drain()
        await asyncio.sleep(0.3)
        writer.close()


@pytest.mark.parametrize(
    "host",
    ["169.254.169.254", "127.0.0.1", "10.0.0.5", "[::1]", "[::ffff:10.0.0.1]", "192.168.1.1", "localhost", "0.0.0.0"],
)
async def test_a_forbidden_literal_address_is_refused_before_and_at_connecting(host: str) -> None:
    with pytest.raises(Refused, match="W3B-1013"):
        check_da_url(f"nats://{host}:4222", STRICT)
    with pytest.raises(Refused, match="W3B-1013"):
        await JetStream.connect(f"nats://{host}:4222", None, STRICT)


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.0.0.1"])
async def test_other_ways_to_write_an_address_are_refused_at_connecting(host: str) -> None:
    async with Server() as internal:
        with pytest.raises((Refused, Unavailable)):
            await JetStream.connect(f"nats://{host}:{internal.port}", None, STRICT)
        assert internal.visits == 0


def test_what_the_settings_allow(tmp_path: Path) -> None:
    home = Settings(home=tmp_path)
    assert (da_policy(home).allow_loopback, da_policy(home).allow_private) == (True, False)
    shared = Settings(home=tmp_path, nats_url="nats://nats.internal:4222", allow_private_da=True)
    assert (da_policy(shared).allow_loopback, da_policy(shared).allow_private) == (False, True)
    for url in ("embedded", "nats://10.0.0.5:4222", "tls://[fd12::1]:4222", "nats://8.8.8.8", "nats://da.example"):
        check_da_url(url, PRIVATE)
    check_da_url("nats://127.0.0.1:4222", LOOPBACK)
    for host in ("127.0.0.1", "169.254.169.254", "100.100.100.200", "[fd00:ec2::254]", "[::ffff:127.0.0.1]"):
        with pytest.raises(Refused, match="W3B-1013"):
            check_da_url(f"nats://{host}:4222", PRIVATE)
    for url in ("nats://:4222", "nats://da.example:99999", "nats://[::1:4222"):
        with pytest.raises(InvalidInput, match="W3B-2001"):
            check_da_url(url, STRICT)


async def test_a_name_is_checked_at_every_connection_and_only_checked_addresses_are_connected_to() -> None:
    """DNS rebinding: the second answer differs from the first."""
    async with Server() as internal:
        answers = [["8.8.8.8"], ["127.0.0.1"]]

        async def resolve(_host: str, _port: int) -> list[str]:
            return answers.pop(0) if len(answers) > 1 else answers[0]

        client = DaClient(STRICT, resolve)
        url = f"nats://da.example:{internal.port}"
        await client.require_allowed(url)
        client._setup_server_pool([url])
        with pytest.raises(Refused, match="W3B-1013"):
            await client._connect_to_server(client._server_pool[0])
        assert client.refusal is not None
        assert internal.visits == 0


async def test_one_forbidden_address_among_allowed_ones_refuses_the_name() -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        return ["8.8.8.8", "10.0.0.1"]

    with pytest.raises(Refused, match="W3B-1013"):
        await DaClient(STRICT, resolve).require_allowed("nats://da.example:4222")


async def test_addresses_that_a_server_announces_are_not_connected_to() -> None:
    async with Server() as internal, Server(f"127.0.0.1:{internal.port}") as evil:
        stream = await JetStream.connect(f"nats://127.0.0.1:{evil.port}", None, LOOPBACK)
        async with asyncio.timeout(20):
            while evil.visits < 3:  # it closes each connection, so that the client looks for a server again
                await asyncio.sleep(0.05)
        await stream.close()
        assert internal.visits == 0


async def test_an_allowed_url_works(server: EmbeddedNats) -> None:
    stream = await JetStream.connect(server.url, None, LOOPBACK)
    assert await stream.state(1) is None
    await stream.close()


async def set_url(ledger: Ledger, project_id: int, url: str) -> None:
    async with ledger.transaction() as session:
        row = (await session.exec(select(ProjectVersionRow).where(ProjectVersionRow.project_id == project_id))).one()
        row.config = {**row.config, "da": {"url": url, "credentials": None}}
        session.add(row)


async def test_a_refused_url_is_the_reason_why_the_intake_stands_still(ledger: Ledger, tmp_path: Path) -> None:
    await add_project(ledger)
    await add_version(ledger)
    await set_url(ledger, 1, "nats://127.0.0.1:4222")
    settings = Settings(home=tmp_path, chain_rpc_url="https://rpc.example")
    intake = Intake(ledger, settings, "nats://127.0.0.1:1", workers=0, programs=PROGRAMS)
    running = asyncio.create_task(intake.run())

    async def reason() -> str:
        return intake.stopped(1)

    assert "W3B-1013" in await until(reason)
    await intake.stop()
    await running


async def test_a_slow_da_server_holds_up_its_own_projects_only(ledger: Ledger, tmp_path: Path) -> None:
    for project_id in (1, 2, 3):
        await add_project(ledger, project_id)
        await add_version(ledger, 1, project_id)
    await set_url(ledger, 2, "nats://tarpit.example:4222")
    answering = asyncio.Event()
    asked: list[tuple[str, UrlPolicy | None]] = []

    async def connect(url: str, _credentials: Path | None, policy: UrlPolicy | None) -> Any:
        asked.append((url, policy))
        if "tarpit" in url:
            await answering.wait()
            raise Unavailable("W3B-1008", "does not answer")
        await asyncio.sleep(0.05)
        return object()

    intake = Intake(ledger, Settings(home=tmp_path), "nats://operator", workers=0, connect=connect)
    slow = asyncio.create_task(intake._stream_of(2))
    await asyncio.sleep(0.05)
    began = time.monotonic()
    async with asyncio.timeout(5):
        first, third = await asyncio.gather(intake._stream_of(1), intake._stream_of(3))
    assert first is third
    assert time.monotonic() - began < 2
    assert not slow.done()
    answering.set()
    with pytest.raises(Unavailable):
        await slow
    assert asked == [
        ("nats://tarpit.example:4222", da_policy(Settings(home=tmp_path))),
        ("nats://operator", None),
    ]
