"""Evidence over the API and by the command: what a user types, what comes, and what is refused."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from eth_hash.auto import keccak
from structlog.testing import capture_logs
from typer.testing import CliRunner

from coordinator.cli import app
from tests.api.api_live import Live, Site, task_row
from tests.evidence.conftest import Scene, last_block
from tests.evidence.mutations import canonical
from verifier.errors import W3bstreamError
from verifier.evidence.verification import verify_evidence

VALID, ERROR, CONSISTENT, INVALID = 0, 1, 3, 4


@dataclass
class Api:
    """A running API over the world's ledger and chain."""

    live: Live
    rpc: str

    def run(self, *arguments: str, code: int = 0) -> str:
        """`w3bstream evidence …`, which must end with `code`; what it printed."""
        result = CliRunner().invoke(app, ["evidence", *arguments])
        assert result.exit_code == code, f"{result.output}\n{result.stderr}\n{result.exception!r}"
        return result.stdout if code != ERROR else result.stderr


@pytest.fixture(scope="module")
def live(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    home = tmp_path_factory.mktemp("home")
    written = str(scene.world.ledger.engine.url.database)
    with closing(sqlite3.connect(written)) as source, closing(sqlite3.connect(home / "ledger.db")) as copy:
        source.backup(copy)
    made = Live(home, f"sqlite+aiosqlite:///{home / 'ledger.db'}")
    rpc = str(scene.world.chain.web3.provider.endpoint_uri)  # type: ignore[attr-defined]
    made.site = Site(deployment=scene.world.deployment, chain_rpc_url=rpc)
    # The service runs in this process: its log must not stand among what the command prints.
    with capture_logs(), made.running(nats=False):
        made.add(task_row(7))
        yield made


@pytest.fixture
def api(live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Api:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("W3BSTREAM_HOME", str(live.home))
    for name in ("W3BSTREAM_TARGET", "W3BSTREAM_API_KEY", "W3BSTREAM_CA"):
        monkeypatch.delenv(name, raising=False)
    return Api(live, live.site.chain_rpc_url)


def test_the_api_gives_the_same_bytes(api: Api, scene: Scene) -> None:
    with api.live.client() as client:
        whole = client.get_evidence(scene.first.id)
        short = client.get_evidence(scene.first.id, proofs_only=True)
        reading = scene.first.readings[2]
        device = "0x" + reading.device.hex()
        receipt = client.get_inclusion_receipt(scene.first.project_id, device=device, sequence=reading.sequence)
    assert (whole.data, short.data, receipt.data) == (
        scene.task.encoded,
        scene.commitments.encoded,
        scene.receipt.encoded,
    )
    assert whole.sha256 == "0x" + hashlib.sha256(whole.data).hexdigest()
    assert whole.final


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (lambda client, scene: client.get_evidence("0x" + "77" * 32), "W3B-3003"),
        (lambda client, scene: client.get_evidence("nonsense"), "W3B-3003"),
        (lambda client, scene: client.get_evidence(task_row(7).id), "W3B-9001"),
        (lambda client, scene: client.get_inclusion_receipt(1), "W3B-7008"),
        (lambda client, scene: client.get_inclusion_receipt(1, device="0x12", sequence=1), "W3B-7008"),
        (lambda client, scene: client.get_inclusion_receipt(1, device="0x" + "aa" * 20, position=1), "W3B-7008"),
        (lambda client, scene: client.get_inclusion_receipt(1, position=2**64 - 1), "W3B-7008"),
        (lambda client, scene: client.get_inclusion_receipt(1, position=1, wire_hash="0xzz"), "W3B-7008"),
        (lambda client, scene: client.get_inclusion_receipt(1, position=7777), "W3B-9010"),
    ],
)
def test_what_the_api_refuses(api: Api, scene: Scene, ask: Any, code: str) -> None:
    with api.live.client() as client, pytest.raises(W3bstreamError) as refused:
        ask(client, scene)
    assert refused.value.code == code


def test_who_may_ask(api: Api, scene: Scene) -> None:
    mine, other = scene.first.project_id, scene.double.project_id
    with api.live.client(api.live.key("tasks:read", project_id=mine)) as client:
        client.get_evidence(scene.first.id)
        for ask in (
            lambda: client.get_evidence(scene.double.id),
            lambda: client.get_inclusion_receipt(other, position=1),
        ):
            with pytest.raises(W3bstreamError, match="W3B-7005"):
                ask()
    with api.live.client(api.live.key("tasks:write")) as client, pytest.raises(W3bstreamError, match="W3B-7004"):
        client.get_evidence(scene.first.id)


def test_get_then_verify_by_the_command(api: Api, scene: Scene) -> None:
    told = json.loads(api.run("get", scene.first.id[:12], "-o", "task.w3bevidence", "--json"))
    assert told["final"]
    assert Path("task.w3bevidence").read_bytes() == scene.task.encoded
    assert api.run("get", scene.first.id, "-o", "task.w3bevidence", code=ERROR).startswith("W3B-7016")
    api.run("get", scene.first.id, "-o", "task.w3bevidence", "--force")

    shown = api.run("verify", "task.w3bevidence", code=CONSISTENT)
    assert shown.startswith("CONSISTENT")
    assert "sum 563" in shown
    assert "taken from the file, not pinned" in shown

    api.run("trust", "task.w3bevidence", "-o", "trust.yaml")
    block = last_block(scene.task.document)
    pinned = api.run("verify", "task.w3bevidence", "--trust", "trust.yaml", "--checkpoint", block, "--json")
    report = json.loads(pinned)
    assert (report["verdict"], report["digest"]) == ("VALID", told["sha256"])
    assert all(each["pinned"] for each in report["anchors"])
    assert api.run("verify", "task.w3bevidence", "--trust", "trust.yaml", "--rpc", api.rpc).startswith("VALID")


def test_a_receipt_by_the_command(api: Api, scene: Scene) -> None:
    reading = scene.first.readings[2]
    Path("mine.wire").write_bytes(reading.to_wire())
    project = str(scene.first.project_id)
    api.run("receipt", "--project", project, "--reading", "mine.wire", "-o", "by-wire.w3bevidence")
    device = "0x" + reading.device.hex()
    api.run("receipt", "--project", project, "--device", device, "--sequence", str(reading.sequence), "-o", "named")
    api.run("receipt", "--project", project, "--position", str(scene.first.positions[2]), "-o", "placed")
    assert {Path(name).read_bytes() for name in ("by-wire.w3bevidence", "named", "placed")} == {scene.receipt.encoded}
    shown = api.run("verify", "named", code=CONSISTENT)
    assert f"Reading {reading.sequence} of device {device} was counted" in shown
    api.run("receipt", "--project", project, "--device", device, code=2)


def test_a_changed_reading_has_no_receipt(api: Api, scene: Scene) -> None:
    reading = scene.first.readings[2]
    wire = bytearray(reading.to_wire())
    wire[-1] ^= 1
    Path("forged.wire").write_bytes(wire)
    told = api.run("receipt", "--project", "1", "--reading", "forged.wire", "-o", "forged", code=ERROR)
    assert told.startswith("W3B-9010")
    assert keccak(reading.to_wire()).hex() in told
    assert not Path("forged").exists()


def test_the_command_refuses_what_does_not_hold(api: Api, scene: Scene) -> None:
    Path("good").write_bytes(scene.task.encoded)
    Path("bad").write_bytes(scene.task.encoded.replace(b'"program":"t', b'"program":"u', 1))
    Path("cut").write_bytes(scene.task.encoded[:-1])
    Path("swapped").write_bytes(scene.task.encoded.replace(scene.first.readings[0].to_wire().hex().encode(), b"", 1))
    error = json.loads(api.run("verify", "cut", "--json", code=INVALID))
    assert (error["verdict"], error["error"]["code"]) == ("INVALID", "W3B-9002")
    shown = api.run("verify", "swapped", code=INVALID)
    assert shown.startswith("INVALID")
    assert "readings[0]" in shown
    assert "Traceback" not in shown
    assert json.loads(api.run("verify", "bad", "--json", code=CONSISTENT))["notes"]
    refused = json.loads(api.run("verify", "good", "--require-production", "--json", code=INVALID))
    assert refused["error"]["code"] == "W3B-9008"
    block = last_block(scene.task.document)
    number = verify_evidence(scene.task.encoded).block_number
    api.run("verify", "good", "--checkpoint", f"{number}:{block}", code=CONSISTENT)
    wrong = json.loads(api.run("verify", "good", "--checkpoint", f"{number + 1}:{block}", "--json", code=INVALID))
    assert wrong["error"]["check"] == "checkpoint"
    api.run("verify", "good", "--checkpoint", "0x" + "11" * 32, code=INVALID)


def test_the_command_says_what_is_missing(api: Api) -> None:
    Path("x").write_bytes(b"{}")
    assert api.run("verify", "nowhere", code=ERROR).startswith("W3B-7016")
    assert api.run("verify", "x", "--checkpoint", "zz", code=ERROR).startswith("W3B-9009")
    assert api.run("verify", "x", "--rpc", "file:///etc/passwd", code=ERROR).startswith("W3B-9009")
    assert api.run("verify", "x", "--rpc", "http://127.0.0.1:1", code=ERROR).startswith("W3B-5001")
    Path("trust.yaml").write_text("chain_id: [")
    assert api.run("verify", "x", "--trust", "trust.yaml", code=ERROR).startswith("W3B-9009")


def test_names_of_a_stranger_do_nothing_to_the_terminal(api: Api, scene: Scene) -> None:
    document = json.loads(scene.task.encoded)
    for name, code in (("[/x][link=file:///etc]y[/link]", CONSISTENT), ("\x1b[2J\x07", INVALID), ("é", INVALID)):
        document["proofs"][0]["program"] = name
        Path("named").write_bytes(canonical(document))
        shown = api.run("verify", "named", code=code)
        assert ("[/x][link=file:///etc]y[/link]" in shown.replace("\n", "")) is (code == CONSISTENT)
        assert "\x1b" not in shown
