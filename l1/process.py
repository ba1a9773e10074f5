"""A node as a child process, for the embedded profile and for tests. It dies with its parent.

Linux ends the child when the *thread* that started it ends: start it from a thread that lives as long as it should.
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
# Loaded before the fork: between fork and exec a child may only make system calls.
_LIBC = ctypes.CDLL(None, use_errno=True)


class ChainProcessError(RuntimeError):
    """The node did not start; the message holds what it wrote to stderr."""


class ChainProcess:
    """`python -m l1` on loopback with a free port. Constructing it waits until the node answers."""

    def __init__(
        self,
        data_dir: Path,
        genesis: Path | None = None,
        *,
        port: int = 0,
        options: Sequence[str] = (),
        timeout: float = 30.0,
    ) -> None:
        """Start the node.

        Parameters
        ----------
        data_dir
            Folder of the chain; the node's stderr goes to `node.log` in it.
        genesis
            Genesis file; may be `None` for a folder that holds a chain.
        options
            More arguments of `python -m l1`.
        timeout
            Seconds to wait for the node to answer.

        Raises
        ------
        ChainProcessError
            When it ends or stays silent.
        """
        data_dir.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "l1", "--data-dir", str(data_dir), "--port", str(port), *options]
        if genesis is not None:
            command += ["--genesis", str(genesis)]
        self._log = data_dir / "node.log"
        parent = os.getpid()

        def die_with_parent() -> None:
            # Linux prctl(2). The parent may have died before the call took effect.
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=Path(__file__).parent.parent,
                preexec_fn=die_with_parent,  # noqa: PLW1509
                # A group of its own: Ctrl-C is for the parent, which then ends the node when it is done with it.
                start_new_session=True,
            )
        try:
            ready = json.loads(self._first_line(timeout))
        except BaseException:
            self.kill()
            raise
        self.rpc_url: str = ready["rpc"]
        """Where JSON-RPC answers."""
        self.chain_id: int = ready["chain_id"]
        """EIP-155 chain id."""
        self.finality_source: str = ready["finality_source"]
        """`bls`, or `single-producer` where the genesis names no delegates."""

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def stop(self, timeout: float = 20.0) -> int:
        """SIGTERM, wait, and return the exit status; SIGKILL after `timeout` seconds."""
        if self.running:
            self._process.terminate()
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._process.returncode
        finally:
            self._close()

    def kill(self) -> None:
        """SIGKILL, and wait."""
        if self.running:
            self._process.kill()
        self._process.wait()
        self._close()

    def __enter__(self) -> ChainProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _close(self) -> None:
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _first_line(self, timeout: float) -> bytes:
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout
        collected = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while not collected.endswith(b"\n"):
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise ChainProcessError(f"the node did not answer within {timeout} s: {self._tail()}")
                chunk = os.read(self._process.stdout.fileno(), 4096)
                if not chunk:
                    self._process.wait()
                    raise ChainProcessError(f"the node ended with {self._process.returncode}: {self._tail()}")
                collected += chunk
        return collected

    def _tail(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")[-2000:]
