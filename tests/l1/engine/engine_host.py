"""`python -m l1.engine` as a child process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from l1.engine.rpc import JsonRpc
from tests.patience import PATIENCE

ROOT = Path(__file__).parents[3]


class HostProcess:
    """Constructing it waits for the ready line."""

    def __init__(self, data_dir: Path, geth: Path, *options: str) -> None:
        command = [sys.executable, "-m", "l1.engine", "--data-dir", str(data_dir), "--geth", str(geth), "--idle", "1"]
        self.process = subprocess.Popen(
            [*command, *options], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"the host ended: {self.ended()}")
        self.ready: dict[str, Any] = json.loads(line)
        self.rpc = JsonRpc(self.ready["rpc"])

    def ended(self, timeout: float = 60.0) -> tuple[int, str]:
        """Exit status and what was written to stderr, once it has ended."""
        _, errors = self.process.communicate(timeout=timeout)
        return self.process.returncode, errors

    def stop(self) -> tuple[int, str]:
        """SIGTERM, and wait."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def __enter__(self) -> HostProcess:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.rpc.close()
        if self.process.poll() is None:
            self.process.terminate()
        self.process.communicate(timeout=60)


def until(holds: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Poll until something is true, and return it."""
    deadline = time.monotonic() + seconds * PATIENCE
    while not (found := holds()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)  # between two looks: most ask another process, which tells nobody of itself
    return found


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def kill(pid: int) -> None:
    """SIGKILL."""
    os.kill(pid, signal.SIGKILL)
