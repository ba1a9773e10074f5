"""Worker processes: the same verdicts as in this process, also after one was killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import psutil
from intake_world import CAPACITY, KEYS, reading, until

from coordinator.intake.crypto_pool import CHUNK, CryptoPool
from verifier.commitment import readings_root
from verifier.reading import Reading


def pairs(count: int) -> list[tuple[Reading, object]]:
    """Readings whose every third signature belongs to another reading."""
    found: list[tuple[Reading, object]] = []
    for sequence in range(1, count + 1):
        good, other = reading(sequence), reading(sequence + 1)
        bad = Reading(1, good.device, sequence, good.timestamp, good.payload, good.key_type, other.signature)
        found.append((bad if sequence % 3 == 0 else good, KEYS[0].registration()))
    return found


async def test_a_killed_worker_costs_nothing_but_time() -> None:
    pool = CryptoPool(1)
    count = 2 * CHUNK + 5
    expected = [sequence % 3 == 0 for sequence in range(1, count + 1)]
    try:
        for _ in range(2):
            verdicts = await pool.check_signatures(pairs(count))  # type: ignore[arg-type]
            assert [verdict is not None for verdict in verdicts] == expected
            assert {verdict[0] for verdict in verdicts if verdict} == {"W3B-1003"}
            for child in psutil.Process().children(recursive=True):
                with suppress(psutil.NoSuchProcess):  # a short-lived child, gone by now
                    if "spawn_main" in " ".join(child.cmdline()):
                        child.kill()
        window = [reading(sequence) for sequence in range(1, 4)]
        roots = await pool.readings_roots("poseidon-bn254-v1", [window, window[:1]], CAPACITY)
        assert roots == [readings_root(window, CAPACITY), readings_root(window[:1], CAPACITY)]
    finally:
        pool.close()


async def test_workers_die_with_a_parent_that_was_killed() -> None:
    program = (
        "import asyncio, psutil, sys\nfrom intake_world import KEYS, reading\n"
        "from coordinator.intake.crypto_pool import CryptoPool\n"
        "async def main():\n    await CryptoPool(1).check_signatures([(reading(1), KEYS[0].registration())])\n"
        "    print(*(c.pid for c in psutil.Process().children(recursive=True)), flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "if __name__ == '__main__':\n    asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": f"{Path(__file__).parents[2]}:{Path(__file__).parent}"},
    )
    assert parent.stdout is not None
    children = [int(pid) for pid in (await parent.stdout.readline()).split()]
    assert children
    parent.send_signal(signal.SIGKILL)
    await parent.wait()

    async def gone() -> bool:
        return not any(psutil.pid_exists(pid) for pid in children)

    await until(gone)
