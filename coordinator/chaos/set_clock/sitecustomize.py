"""Not a module of ours: Python runs it at its start (site) in processes whose `PYTHONPATH` names this folder.

Their wall clock is then ahead of the machine's by as many seconds as `WallClock` has put into a file, at once and as
often as that changes. `datetime` is written in C and keeps the machine's time; nothing that matters reads it there.
"""

import mmap
import os
import struct
import time

_REAL, _REAL_NS = time.time, time.time_ns
_OFFSET = struct.Struct("=q")


def _install(path: str) -> None:
    with open(path, "rb") as file:
        shared = mmap.mmap(file.fileno(), _OFFSET.size, access=mmap.ACCESS_READ)

    def seconds() -> int:
        offset: int = _OFFSET.unpack(shared[: _OFFSET.size])[0]
        return offset

    time.time = lambda: _REAL() + seconds()
    time.time_ns = lambda: _REAL_NS() + seconds() * 1_000_000_000


if _path := os.environ.get("W3BCHAOS_CLOCK"):
    _install(_path)
