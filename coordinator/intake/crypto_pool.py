"""Signature checks and Poseidon roots, off the event loop.

Baby Jubjub and Poseidon run in Rust, on threads, 0.02 to 0.1 ms of a core a signature; the other signatures in worker
processes.
"""

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
from native import _native
from verifier.commitment import POSEIDON_BN254_V1, scheme
from verifier.reading import Device, KeyType, Reading

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


def _in_rust(reading: Reading, device: Device) -> bool:
    """Whether Rust checks the signature; a reading that names another device or key type is refused elsewhere."""
    same = reading.key_type is device.key_type and reading.device == device.device
    return same and device.key_type is KeyType.BABYJUBJUB


def _unsigned(reading: Reading) -> tuple[str, str]:
    """The verdict on a signature that does not hold, in `verifier.reading.verify_signature`'s words."""
    name = f"reading {reading.sequence} of device {reading.device.hex()}"
    return "W3B-1003", f"the signature of {name} does not verify"


def readings_root(name: str, readings: Sequence[Reading], capacity: int) -> bytes:
    """Root under the scheme of that name; runs in a worker."""
    return scheme(name).readings_root(readings, capacity)


def _native_roots(windows: Sequence[Sequence[Reading]], capacity: int) -> list[bytes]:
    """The same for many windows of `poseidon-bn254-v1`."""
    for window in windows:
        for reading in window:
            if not reading.knows_message:
                reading.remember_message(int.from_bytes(_native.reading_message(reading.to_wire()), "big"))
    leaves = [[reading.message().to_bytes(32, "big") for reading in window] for window in windows]
    return _native.poseidon_roots(leaves, capacity)


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
        mine = [_in_rust(*pair) for pair in pairs]
        others = [pair for pair, native in zip(pairs, mine, strict=True) if not native]
        chunks = [others[at : at + CHUNK] for at in range(0, len(others), CHUNK)]
        first, parts = await asyncio.gather(
            self._verify([pair for pair, native in zip(pairs, mine, strict=True) if native]),
            asyncio.gather(*(self._run(check_signatures, chunk) for chunk in chunks)),
        )
        natives, rest = iter(first), (verdict for part in parts for verdict in part)
        return [next(natives) if native else next(rest) for native in mine]

    @staticmethod
    async def _verify(pairs: Sequence[tuple[Reading, Device]]) -> list[tuple[str, str] | None]:
        """Verdicts on Baby Jubjub signatures; good readings remember their field element, which roots are made of."""
        if not pairs:
            return []
        signed = [(device.public_key, reading.to_wire()) for reading, device in pairs]
        verdicts: list[tuple[str, str] | None] = []
        messages = await asyncio.to_thread(_native.babyjubjub_signed_messages, signed)
        for (reading, _), message in zip(pairs, messages, strict=True):
            if message is not None:
                reading.remember_message(int.from_bytes(message, "big"))
            verdicts.append(None if message is not None else _unsigned(reading))
        return verdicts

    async def readings_roots(self, name: str, windows: Sequence[Sequence[Reading]], capacity: int) -> list[bytes]:
        """Each window's root, 32 bytes, under the commitment scheme `name`; readings in the scheme's order.

        Raises InvalidInput (W3B-1001) when a window has more than `capacity` readings.
        """
        if name == POSEIDON_BN254_V1.name and all(len(window) <= capacity for window in windows):
            return await asyncio.to_thread(_native_roots, windows, capacity)
        roots = (self._run(readings_root, name, tuple(window), capacity) for window in windows)
        return list(await asyncio.gather(*roots))

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
