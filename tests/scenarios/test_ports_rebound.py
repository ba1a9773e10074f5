"""What must hold: after an orderly stop and after SIGKILL, also while clients still hold connections, the service starts
again at once and listens where it did: API, explorer, metrics, chain and NATS."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.e2e.installation import Installation, with_keys
from tests.e2e.webhook_listener import free_port

FIXED = ("API_PORT", "EXPLORER_PORT", "METRICS_PORT")


@pytest.fixture
def own(tmp_path: Path, keys: Path) -> Iterator[Installation]:
    """An installation whose operator has chosen the ports that may be chosen."""
    chosen: dict[str, str] = {}
    while len(set(chosen.values())) < len(FIXED):
        chosen = {name: str(free_port()) for name in FIXED}
    made = Installation(with_keys(tmp_path / "home", keys), chosen)
    made.start()
    yield made
    made.stop()


def ports(own: Installation) -> dict[str, int]:
    """Where everything listens now, as the installation itself says."""
    with own.client() as client:
        status = client.get_status()
    found = {name: int(own._environment[f"W3BSTREAM_{name}"]) for name in FIXED}
    assert json.loads((own.home / "api.json").read_text())["target"] == f"127.0.0.1:{found['API_PORT']}"
    found["chain"] = urlsplit(status.chain_rpc_url).port or 0
    found["nats"] = json.loads((own.home / "nats" / "endpoint.json").read_text())["port"]
    return found


@pytest.mark.slow
def test_ports_rebound(own: Installation) -> None:
    before = ports(own)
    for ends in (own.stop, own.kill):
        with ExitStack() as clients:
            for port in before.values():
                # Held over the restart: the server's side closes first, and its end of it stays behind in TIME_WAIT.
                clients.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            ends()
            own.start()
            assert ports(own) == before
            for port in before.values():
                clients.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
