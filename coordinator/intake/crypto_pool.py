"""Worker processes for signature checks and Poseidon roots: milliseconds each, too long for the event loop."""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar, TypeVarTuple

import structlog

from coordinator.intake.admission import check_signatures
from verifier.commitment import scheme
from verifier.reading import Device, Reading

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")
CHUNK = 32
"""Readings a worker gets at a time; small enough to spread a batch, large enough to drown the cost of the pipe."""

log = structlog.get_logger(__name__)


def _start_worker(parent: int) -> None:
    """Die with the parent (also when it was killed), and leave Ctrl-C to it."""
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def readings_root(name: str, readings: Sequence[Reading], capacity: int) -> bytes:
    """Root under the scheme of that name; runs in a worker."""
    return scheme(name).readings_root(readings, capacity)


class CryptoPool:
    """Runs pure work off the event loop.

    Parameters: `workers` is the number of processes; 0 uses threads, which keeps the event loop free but not the
    interpreter lock.
    """

    def __init__(self, workers: int | None = None) -> None:
        self._workers = max(1, min(4, (os.cpu_count() or 2) - 1)) if workers is None else workers
        self._pool: ProcessPoolExecutor | None = None

    async def check_signatures(self, pairs: Sequence[tuple[Reading, Device]]) -> list[tuple[str, str] | None]:
        """`admission.check_signatures` over many pairs, in their order."""
        chunks = [pairs[at : at + CHUNK] for at in range(0, len(pairs), CHUNK)]
        verdicts = await asyncio.gather(*(self._run(check_signatures, chunk) for chunk in chunks))
        return [verdict for part in verdicts for verdict in part]

    async def readings_root(self, name: str, readings: Sequence[Reading], capacity: int) -> bytes:
        """The window's root, 32 bytes, under the commitment scheme `name`; readings in the scheme's order."""
        return await self._run(readings_root, name, tuple(readings), capacity)

    async def _run(self, work: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        if self._workers == 0:
            return await asyncio.to_thread(work, *arguments)
        try:
            return await self._submit(work, *arguments)
        except BrokenProcessPool:
            # A worker was killed (out of memory, by hand). The work is pure: do it again in fresh workers, once.
            log.warning("crypto_workers_died")
            return await self._submit(work, *arguments)

    async def _submit(self, work: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self._workers,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_start_worker,
                initargs=(os.getpid(),),
            )
        pool = self._pool
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, work, *arguments)
        except BrokenProcessPool:
            if self._pool is pool:
                self._pool = None
                pool.shutdown(wait=False)
            raise

    def close(self) -> None:
        """End the workers."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)
