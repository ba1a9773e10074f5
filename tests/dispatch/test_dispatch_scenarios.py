"""Faults on real Ray workers and real processes. Each test opens with the sentence that says what must hold."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv6Address, ip_address
from pathlib import Path

import psutil
import pytest
from dispatch_world import FAST, Chain, Service, World, background

from coordinator.dispatch import ray_pool
from coordinator.dispatch.inline_pool import InlinePool
from coordinator.dispatch.ray_pool import RayPool
from coordinator.dispatch.ray_runtime import SOURCE_ROOT

HERE = Path(__file__).parent
SLACK = replace(FAST, lease_ms=30_000, heartbeat_ms=500)
"""Two cores run Ray, the test and whatever else: no lease runs out for that."""


@pytest.fixture
def pool(local_ray: Path) -> RayPool:
    return RayPool(local_ray, {"test.hash": 8}, ping_seconds=0.2, import_paths=(HERE,))


async def proving_pid(world: World) -> int:
    """The process that took the `once:` behaviour and is in the middle of that proof."""
    folder = world.programs["test.hash"].folder

    def takers() -> list[int]:
        taken = [int(mark.name.split("-")[1]) for mark in folder.glob("taken-*")]
        return [pid for pid in taken if (folder / f"proving-{pid}").exists()]

    async def found() -> bool:
        return bool(takers())

    await world.until(found, 60)
    (pid,) = takers()
    return pid


async def all_idle(world: World) -> None:
    async def holds() -> bool:
        return {row.status for row in (await world.prover_rows()).values()} == {"IDLE"}

    await world.until(holds, 60)


async def gone(world: World, pid: int) -> None:
    """The process ends; Ray gives one that does not listen some seconds."""

    async def holds() -> bool:
        return not psutil.pid_exists(pid)

    await world.until(holds, 30)


async def one_proof(world: World, name: str) -> tuple[str, str]:
    """Require one lost and one proved attempt by different provers; return the lost one's state and code."""
    first, second = await world.attempts(name)
    assert second.state == "PROVED"
    assert first.prover_id != second.prover_id
    assert first.fence < second.fence
    assert (await world.get_task(name)).attempts_used == 1
    return first.state, first.code


async def test_worker_death(world: World, service: Service, pool: RayPool) -> None:
    """A worker that is killed in the middle of a proof is noticed, another worker proves the task, there is exactly one
    proven result, and the dead worker comes back."""
    world.behave("once:hang")
    await service.start(pool, SLACK)
    await all_idle(world)
    name = await world.task()
    pid = await proving_pid(world)
    os.kill(pid, signal.SIGKILL)
    await world.reach(name, "SATISFIED", 60)
    assert await one_proof(world, name) == ("LOST", "W3B-4082")
    await all_idle(world)
    nodes = {row.node for row in (await world.prover_rows()).values()}
    assert len(nodes) == 2
    assert not any(node.endswith(f"/{pid}") for node in nodes)


async def test_worker_death_after_ray_came_back(
    world: World, service: Service, pool: RayPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When Ray ended under the workers and was started again, the next worker that dies by itself is told as any other:
    its attempt counts."""
    whole = True
    monkeypatch.setattr(ray_pool, "cluster_whole", lambda: whole)
    monkeypatch.setattr(ray_pool, "stop_ray", lambda: None)  # the tests beside this one go on with it
    await service.start(pool, SLACK)
    await all_idle(world)
    former = {worker.node for worker in pool.workers()}

    async def ended() -> bool:
        return not any(worker.ready for worker in pool.workers())

    async def came_back() -> bool:
        return all(worker.ready and worker.node not in former for worker in pool.workers())

    whole = False
    await world.until(ended, 60)
    whole = True
    await world.until(came_back, 60)
    await all_idle(world)
    world.behave("once:hang")
    name = await world.task()
    os.kill(await proving_pid(world), signal.SIGKILL)
    await world.reach(name, "SATISFIED", 60)
    assert await one_proof(world, name) == ("LOST", "W3B-4082")


async def test_worker_frozen(world: World, service: Service, pool: RayPool) -> None:
    """A worker that is stopped, not dead, loses its lease; its process is ended so that it can never report, and
    another worker proves the task."""
    world.behave("once:hang")
    await service.start(pool, replace(SLACK, lease_ms=5_000))
    await all_idle(world)
    name = await world.task()
    pid = await proving_pid(world)
    os.kill(pid, signal.SIGSTOP)
    await world.reach(name, "SATISFIED", 60)
    assert await one_proof(world, name) == ("LOST", "W3B-3008")
    await all_idle(world)
    await gone(world, pid)


async def test_program_hangs(world: World, service: Service, pool: RayPool) -> None:
    """A program that never ends, and holds the interpreter, is killed at the attempt's time limit, and the task is
    proven by another attempt."""
    world.behave("once:spin")
    await service.start(pool, replace(SLACK, attempt_ms=2_000))
    await all_idle(world)
    name = await world.task()
    pid = await proving_pid(world)
    await world.reach(name, "SATISFIED", 60)
    assert await one_proof(world, name) == ("LOST", "W3B-3008")
    await all_idle(world)
    await gone(world, pid)


async def test_program_misbehaves(world: World, service: Service, pool: RayPool) -> None:
    """A program that raises, returns garbage or ends its process costs one attempt, says why, and the task is proven by
    another prover."""
    await service.start(pool, SLACK)
    for behaviour, outcome in (
        ("raise", ("REJECTED", "W3B-4080")),
        ("garbage", ("REJECTED", "W3B-4081")),
        ("alien", ("REJECTED", "W3B-4081")),
        ("exit", ("LOST", "W3B-4082")),
    ):
        await all_idle(world)
        world.behave(f"once:{behaviour}")
        name = await world.task()
        await world.reach(name, "SATISFIED", 60)
        assert await one_proof(world, name) == outcome


async def test_dispatcher_restart(world: World, service: Service, local_ray: Path) -> None:
    """When the dispatcher starts again in the middle of a proof, the old worker is gone, its attempt is lost, and every
    task is proven exactly once."""
    world.behave("once:hang")
    first = await service.start(RayPool(local_ray, {"test.hash": 8}, ping_seconds=0.2, import_paths=(HERE,)), SLACK)
    names = [await world.task() for _ in range(4)]
    pid = await proving_pid(world)
    await first.stop()
    await gone(world, pid)
    await service.start(RayPool(local_ray, {"test.hash": 8}, ping_seconds=0.2, import_paths=(HERE,)), SLACK)
    for name in names:
        await world.reach(name, "SATISFIED", 60)
        assert (await world.states(name)).count("PROVED") == 1


async def test_drain(world: World, service: Service, pool: RayPool) -> None:
    """A draining prover finishes what it has, gets nothing new, and works again when the drain is undone."""
    await service.start(pool, SLACK)
    await world.reach(await world.task(), "SATISFIED", 60)
    await all_idle(world)
    await world.drain("test.hash-0", drain=True)
    names = [await world.task() for _ in range(4)]
    for name in names:
        await world.reach(name, "SATISFIED", 60)
        assert {attempt.prover_id for attempt in await world.attempts(name)} == {"test.hash-1"}
    await world.drain("test.hash-0", drain=False)
    await all_idle(world)


def test_sigterm_while_ray_starts(tmp_path: Path) -> None:
    """SIGTERM that comes while Ray still has the signal ends the service in order, however long that takes."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / "signalled_process.py"), str(tmp_path)],
        cwd=SOURCE_ROOT,
        env=os.environ | {"PYTHONPATH": str(SOURCE_ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "SIGTERM received" in errors, "the signal was Ray's"


def listeners(process: psutil.Process) -> Iterator[tuple[str, str, int]]:
    """(process name, address, port) of every listening TCP socket and every bound UDP one of the process tree."""
    for each in [process, *process.children(recursive=True)]:
        for connection in each.net_connections(kind="inet"):
            if connection.status == psutil.CONN_LISTEN or (connection.type == 2 and not connection.raddr):
                yield each.name(), connection.laddr.ip, connection.laddr.port


def is_loopback(text: str) -> bool:
    address = ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


async def test_sockets_are_on_loopback_only(world: World, service: Service, pool: RayPool, local_ray: Path) -> None:
    """Nothing that Ray or the dispatcher starts listens off loopback, and Ray asks for the token of this
    installation."""
    await service.start(pool, SLACK)
    await world.reach(await world.task(), "SATISFIED", 60)
    found = list(listeners(psutil.Process()))
    names = {name for name, _, _ in found}
    assert {"gcs_server", "raylet"} <= names, "the sockets of Ray were seen"
    outside = [row for row in found if not is_loopback(row[1])]
    assert outside == []
    token = local_ray / "ray" / "auth_token"
    assert token.stat().st_mode & 0o777 == 0o600
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert os.environ["RAY_AUTH_TOKEN_PATH"] == str(token)


async def test_coordinator_killed(tmp_path: Path, ledger_url: str) -> None:
    """When the coordinator's process is killed in the middle of a proof, the next one proves every task exactly
    once."""
    world = World(tmp_path, ledger_url=ledger_url)
    world.behave("hang")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(SOURCE_ROOT), str(HERE)))}
    command = [sys.executable, str(HERE / "dispatch_process.py"), str(tmp_path), "5", ledger_url]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        names = [process.stdout.readline().strip() for _ in range(5)]
        folder = world.programs["test.hash"].folder
        while not list(folder.glob("proving-*")):
            assert process.poll() is None
            await asyncio.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    world.behave("")
    async with background(Chain(world.ledger).run()), background(world.dispatcher(InlinePool()).run()):
        for name in names:
            await world.reach(name, "SATISFIED", 30)
            states = await world.states(name)
            assert states.count("PROVED") == 1
            assert set(states) <= {"PROVED", "LOST"}
    await world.ledger.close()
