"""The embedded server: private, on loopback, kept alive, and never outliving its parent."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import nats
import nats.errors
import psutil
import pytest
from intake_world import until

from coordinator.intake.nats_server import EmbeddedNats
from verifier.errors import Unavailable


async def test_only_who_knows_the_password_gets_in(server: EmbeddedNats) -> None:
    port = server.url.rsplit(":", 1)[1]
    for url in (f"nats://127.0.0.1:{port}", f"nats://w3b:guess@127.0.0.1:{port}"):
        with pytest.raises((nats.errors.Error, OSError)):
            await nats.connect(url, allow_reconnect=False, connect_timeout=2, error_cb=quiet)
    client = await nats.connect(server.url)
    assert client.is_connected
    await client.close()


async def quiet(_error: Exception) -> None:
    """The refusals are what the test expects."""


async def test_secrets_lie_in_private_files_and_not_on_the_command_line(server: EmbeddedNats, tmp_path: Path) -> None:
    password = server.url.split("@", 1)[0].rsplit(":", 1)[1]
    holding = [path for path in (tmp_path / "nats").glob("*") if path.is_file() and password in path.read_text()]
    assert {path.name for path in holding} == {"server.conf", "endpoint.json"}
    assert {path.stat().st_mode & 0o777 for path in holding} == {0o600}
    assert server.pid is not None
    assert password not in " ".join(psutil.Process(server.pid).cmdline())


async def test_it_listens_on_loopback_only(server: EmbeddedNats) -> None:
    assert server.pid is not None
    listening = [c.laddr.ip for c in psutil.Process(server.pid).net_connections() if c.status == psutil.CONN_LISTEN]
    assert listening
    assert set(listening) == {"127.0.0.1"}


async def test_a_killed_server_comes_back_under_the_same_url(server: EmbeddedNats) -> None:
    url, before = server.url, server.pid
    assert before is not None
    os.kill(before, signal.SIGKILL)

    async def back() -> bool:
        return server.pid not in (None, before)

    await until(back)
    assert server.url == url
    client = await nats.connect(url)
    await client.close()


async def test_a_restart_keeps_url_and_data(tmp_path: Path) -> None:
    first = EmbeddedNats(tmp_path)
    await first.start()
    client = await nats.connect(first.url)
    await client.jetstream().add_stream(name="kept", subjects=["kept"])
    await client.jetstream().publish("kept", b"x")
    await client.close()
    await first.stop()
    assert first.pid is None
    second = EmbeddedNats(tmp_path)
    await second.start()
    assert second.url == first.url
    client = await nats.connect(second.url)
    assert (await client.jetstream().stream_info("kept")).state.messages == 1
    await client.close()
    await second.stop()


async def test_it_dies_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom coordinator.intake.nats_server import EmbeddedNats\n"
        "async def main():\n    s = EmbeddedNats(Path(sys.argv[1]))\n    await s.start()\n"
        "    print(s.pid, flush=True)\n    await asyncio.sleep(60)\nasyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        str(tmp_path),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    assert psutil.Process(child).name() == "nats-server"
    parent.kill()
    await parent.wait()

    async def gone() -> bool:
        return not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE

    await until(gone)


async def test_a_server_that_cannot_start_says_where_to_look(tmp_path: Path) -> None:
    broken = EmbeddedNats(tmp_path, binary=Path("/bin/false"))
    with pytest.raises(Unavailable, match=r"W3B-1012.*status 1.*server\.log"):
        await broken.start()
    missing = EmbeddedNats(tmp_path, binary=tmp_path / "nothing")
    with pytest.raises(Unavailable, match="W3B-1012"):
        await missing.start()
