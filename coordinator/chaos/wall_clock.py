"""The wall clock of the Python processes that a run starts: set wrong and right again without touching the machine's."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from pathlib import Path

_FOLDER = Path(__file__).parent / "set_clock"
_OFFSET = struct.Struct("=q")


class WallClock:
    """How far the processes' wall clock is ahead of the machine's; their steady clock is the machine's own.

    Parameters: `file` is made; it holds the offset, and the processes map it into their memory (`set_clock`).
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        file.write_bytes(_OFFSET.pack(0))

    def set(self, seconds: int) -> None:
        """Be so far ahead of the machine's clock; behind it where negative."""
        with self._file.open("r+b", buffering=0) as file:
            file.write(_OFFSET.pack(seconds))  # eight bytes of one page, written at once

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """`base` for a process that goes by this clock, and whose children do."""
        path = os.pathsep.join(filter(None, [str(_FOLDER), base.get("PYTHONPATH", "")]))
        return {**base, "PYTHONPATH": path, "W3BCHAOS_CLOCK": str(self._file)}
