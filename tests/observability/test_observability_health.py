"""Readiness means it: it goes down when a part is stopped or hangs, says which and why, and comes back by itself."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from coordinator.intake.nats_server import EmbeddedNats
from coordinator.ledger.control_tables import CoordinatorRow
from coordinator.ledger.coordinators import beat, join
from coordinator.ledger.leadership import Leadership
from coordinator.ledger.outbox_tables import OutboxTxRow
from coordinator.ledger.store import Ledger, move_task
from coordinator.ledger.tables import ProverRow
from coordinator.ledger.transitions import TaskState
from coordinator.observability import lookout as lookouts
from coordinator.observability.checks import CHECKS, HEAD_SECONDS, Seen, judge
from coordinator.observability.watching import Watching, serving
from coordinator.settings import Settings
from coordinator.settlement.chain import JsonRpcChain
from coordinator.settlement.finality import Finality
from tests.api.api_live import Live
from tests.observability.observability_world import ME, StillStream
from tests.patience import PATIENCE
from tests.settlement.memory_run import KIND, rows_of
from tests.settlement.settlement_world import L1

GOOD = Seen(leader=ME, disk_free=2, disk_reserve=1)


def failing(**changes: Any) -> dict[str, tuple[str, str]]:
    """The checks that fail, with code and reason."""
    seen = Seen(**{**GOOD.__dict__, **changes})
    return {check.name: (check.code, check.reason) for check in judge(seen) if not check.ok}


def test_all_checks_hold_when_all_is_well() -> None:
    assert failing() == {}
    assert tuple(check.name for check in judge(GOOD)) == CHECKS


@pytest.mark.parametrize(
    ("changes", "name", "code", "says"),
    [
        ({"ledger_error": ("W3B-3021", "away")}, "ledger", "W3B-3021", "away"),
        ({"beat_seconds": 31.0}, "ledger", "W3B-8020", "for 31 s"),
        ({"beat_seconds": None}, "ledger", "W3B-8020", "ever"),
        ({"leader": ""}, "leader", "W3B-8021", "no coordinator leads"),
        ({"nats_error": "it is no NATS server"}, "nats", "W3B-1008", "no NATS"),
        ({"chain_error": ("W3B-5001", "silent")}, "chain", "W3B-5001", "silent"),
        ({"head_still_seconds": HEAD_SECONDS + 1, "waits_for_block": True}, "chain", "W3B-8022", "no block for 61 s"),
        ({"waiting": {("tee", "zkp"): 3}, "online": {"mpc"}}, "provers", "W3B-8023", "3 waiting for tee or zkp"),
        ({"disk_free": 0}, "disk", "W3B-8024", "0 MiB are free"),
    ],
)
def test_each_check_fails_alone_with_its_code(changes: dict[str, Any], name: str, code: str, says: str) -> None:
    found = failing(**changes)
    assert set(found) == {name}
    assert found[name][0] == code
    assert says in found[name][1]


def test_what_only_slows_work_down_fails_nothing() -> None:
    assert failing(head_still_seconds=1e6) == {}  # a chain that makes no empty blocks
    assert failing(waiting={("tee", "zkp"): 10_000}, online={"zkp"}) == {}


@dataclass
class Site:
    """A watched installation whose parts a test may stop."""

    ledger: Ledger
    nats: EmbeddedNats
    chain: L1
    watching: Watching
    told: dict[str, bool] = field(default_factory=dict)

    async def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """(status, JSON)."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.watching.server.url}{path}") as answer:
            return answer.status, await answer.json()

    async def until(self, **failing: str) -> None:
        """Wait until exactly these checks fail with these codes, over HTTP and over gRPC's health alike."""
        ends = time.monotonic() + 90 * PATIENCE
        while True:
            await beat(self.ledger, ME)  # what its coordinator does
            status, told = await self.get("/readyz")
            found = {each["name"]: each["code"] for each in told["checks"] if not each["ok"]}
            health = {name for name, well in self.told.items() if not well}
            names = {f"w3bstream.{name}" for name in failing} | ({""} if failing else set())
            if found == failing and health == names:
                assert status == (503 if failing else 200)
                assert told["ready"] is not bool(failing)
                assert all(each["reason"] and each["next_step"] for each in told["checks"] if not each["ok"])
                return
            assert time.monotonic() < ends, (found, health)
            await asyncio.sleep(0.1)


@pytest_asyncio.fixture
async def site(ledger_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    """Everything real: NATS, our chain, the ledger and the HTTP server; all is well at first."""
    monkeypatch.setattr("coordinator.observability.watching.LOOK_SECONDS", 0.1)
    ledger, nats, node = Ledger(ledger_url), EmbeddedNats(tmp_path), L1(tmp_path)
    await nats.start()
    await join(ledger, CoordinatorRow(id=ME, host="here:1", home="1", started_at=0, heartbeat_at=0), 60_000)
    assert await Leadership(ledger, ME, 600_000).take()
    told: dict[str, bool] = {}

    async def set_health(now: Mapping[str, bool]) -> None:
        told.update(now)

    async def stream_of(project_id: int) -> Any:
        return StillStream(0)

    chain = JsonRpcChain(node.url)
    watching = Watching(
        ledger,
        Settings(home=tmp_path, leader_seconds=60, disk_reserve_mib=0),
        me=ME,
        leads=lambda: True,
        chain=chain,
        finality=Finality("single-producer"),
        account="0x" + "5e" * 20,
        nats_url=nats.url,
        stream_of=stream_of,
        set_health=set_health,
    )
    await watching.start()
    yield Site(ledger, nats, node, watching, told)
    await watching.stop()
    await chain.close()
    await nats.stop()
    node.stop()
    await ledger.close()


async def test_readiness_follows_nats_and_the_chain(site: Site, tmp_path: Path) -> None:
    assert (await site.get("/healthz"))[1]["ok"] is True
    await site.until()
    await site.nats.stop()
    await site.until(nats="W3B-1008")
    site.chain.stop()
    await site.until(nats="W3B-1008", chain="W3B-5001")
    assert (await site.get("/healthz"))[0] == 200  # a restart would mend neither
    await site.nats.start()
    await site.until(chain="W3B-5001")
    site.chain.start()
    await site.until()
    secret = site.nats.url.split("@")[0].rpartition(":")[2]
    assert secret not in str(await site.get("/readyz"))


async def test_a_nats_that_hangs_is_down(site: Site) -> None:
    await site.until()
    assert site.nats.pid is not None
    children = Path(f"/proc/{site.nats.pid}/task/{site.nats.pid}/children").read_text().split()
    pids = [site.nats.pid, *map(int, children)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        await site.until(nats="W3B-1008")
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    await site.until()


async def test_readiness_follows_provers(site: Site) -> None:
    now = site.ledger.clock()
    async with site.ledger.transaction() as session:
        session.add_all(rows_of(now, 1))
        await session.flush()
        prover = await session.get_one(ProverRow, "one")
        prover.status = "OFFLINE"
        session.add(prover)
    task_id = next(row.id for row in rows_of(now, 1) if row.__class__.__name__ == "TaskRow")
    await site.until()  # nothing waits yet
    async with site.ledger.transaction() as session:
        await move_task(session, now, task_id, TaskState.OPEN)
    await site.until(provers="W3B-8023")
    part = (await site.watching.components())[0]
    assert (part.name, part.healthy) == ("ready", False)
    assert f"1 waiting for {KIND}" in part.detail
    async with site.ledger.transaction() as session:
        (await session.get_one(ProverRow, "one")).status = "BUSY"
    await site.until()


async def test_readiness_follows_leadership_and_the_ledgers_writes(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    await site.until()
    monkeypatch.setattr(site.watching.lookout, "_me", "co_nobody")
    await site.until(ledger="W3B-8020")


async def test_a_standing_head_counts_only_when_something_waits(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookouts.Lookout, "_note_head", lambda *_: None)
    site.watching.lookout._moved = time.monotonic() - HEAD_SECONDS - 60
    await site.until()
    now = site.ledger.clock()
    async with site.ledger.transaction() as session:
        session.add(
            OutboxTxRow(
                dedupe_key="k",
                purpose="settle",
                ref={},
                to="0x",
                data=b"",
                state="SENT",
                created_at=now,
                updated_at=now,
            )
        )
    await site.until(chain="W3B-8022")


async def test_nats_is_told_from_what_is_not(site: Site) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n")
        await writer.drain()
        writer.close()

    other = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = other.sockets[0].getsockname()[1]
    assert "no NATS server" in await lookouts.nats_problem(f"nats://127.0.0.1:{port}")
    assert await lookouts.nats_problem(f"nats://127.0.0.1:{port}, {site.nats.url}") == ""
    other.close()


def test_grpc_health_says_the_same(tmp_path: Path, ledger_url: str) -> None:
    status = health_pb2.HealthCheckResponse
    with Live(tmp_path, ledger_url).running(nats=False) as api, grpc.insecure_channel(api.target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)

        def says(name: str) -> int:
            return int(stub.Check(health_pb2.HealthCheckRequest(service=name)).status)

        checks = judge(Seen(leader=ME, nats_error="down"))
        look = lookouts.Look(checks, lookouts.Heads(None, None), 0)
        api.run(api.server.set_health(serving(look)))
        assert (says(""), says("w3bstream.nats"), says("w3bstream.chain")) == (
            status.NOT_SERVING,
            status.NOT_SERVING,
            status.SERVING,
        )
        assert says("w3bstream.v1.TaskService") == status.SERVING  # it answers; what it asks for may have to wait
        look = lookouts.Look(judge(GOOD), lookouts.Heads(None, None), 0)
        api.run(api.server.set_health(serving(look)))
        assert {says(""), says("w3bstream.nats")} == {status.SERVING}
