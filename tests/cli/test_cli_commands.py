"""Every command against a real service: for people, for programs, and when something is wrong."""

from __future__ import annotations

import json
import os
import pty
import re
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from api_live import Live, task_row
from cli_run import Cli
from rich.console import Console
from sqlmodel import select
from standardwebhooks import Webhook
from typer.core import TyperGroup
from typer.main import get_command

from coordinator.cli import app
from coordinator.cli.output import shown_id
from coordinator.cli.reference import markdown
from coordinator.ledger.outbox_tables import WebhookMessageRow
from coordinator.ledger.tables import ProjectVersionRow, ProverRow

ROOT = Path(__file__).resolve().parents[2]


def commands(command: object = None, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    command = get_command(app) if command is None else command
    if not isinstance(command, TyperGroup):
        return [path]
    return [found for name, each in command.commands.items() for found in commands(each, (*path, name))]


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERMINAL_WIDTH", "200")
    page = Cli()(*path, "--help").out
    assert "xample: " in page or "xample: " in page.replace("\n", " ")
    assert f"w3bstream {' '.join(path)}" in page
    assert "--json" in page


def test_the_reference_page_is_current() -> None:
    assert (ROOT / "docs/reference/cli.md").read_text() == markdown()


def test_importing_the_command_stays_light() -> None:
    heavy = ["ray", "nats", "sqlmodel", "sqlalchemy", "web3", "aiohttp", "pydantic_settings", "wasmtime"]
    code = (
        "import sys, coordinator.cli, coordinator.api.client, coordinator.projects.example\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=child_environment()
    )
    assert done.stdout.strip() == "[]"


def child_environment(**more: str) -> dict[str, str]:
    paths = os.pathsep.join((str(ROOT), str(ROOT / "proto")))
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "PYTHONPATH": paths, **more}


def run_child(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    code = "from coordinator.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env=child_environment(**environment),
        timeout=60,
        check=False,
    )


def test_as_a_process(live: Live) -> None:
    done = run_child("status", "--json", W3BSTREAM_HOME=str(live.home))
    assert (done.returncode, json.loads(done.stdout)["chain_id"]) == (0, "4690")
    done = run_child("status", W3BSTREAM_HOME=str(live.home), NO_COLOR="1", FORCE_COLOR="1")
    assert re.search("\x1b\\[[0-9;]*3[0-7]", done.stdout) is None
    assert re.search("\x1b\\[[0-9;]*3[0-7]", run_child("status", W3BSTREAM_HOME=str(live.home), FORCE_COLOR="1").stdout)
    done = run_child("status", W3BSTREAM_TARGET=live.target, W3BSTREAM_API_KEY="w3b_bad", W3BSTREAM_HOME="/nonexistent")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("W3B-7002: ")
    assert "the API key is not whole" in done.stderr
    assert "leave --api-key out" in done.stderr
    done = run_child("task", "fly")
    assert done.returncode == 2
    done = run_child("status", "--json", W3BSTREAM_HOME="/nonexistent")
    assert (done.returncode, json.loads(done.stderr)["error"]["code"]) == (1, "W3B-7011")
    assert "check W3BSTREAM_HOME (now /nonexistent)" in json.loads(done.stderr)["error"]["next_step"]


def test_a_project_from_nothing_to_published(live: Live, cli: Cli) -> None:
    made = cli("project", "init", "rain.yaml", "--name", "rain", "--devices", "2", "--json").json
    assert sorted(made["devices"]) == ["device-1", "device-2"]
    assert stat.S_IMODE(Path("keys/device-1.json").stat().st_mode) == 0o600
    assert cli("project", "init", "rain.yaml", "--json", code=1).error["code"] == "W3B-7016"
    missing = cli("project", "publish", "rain.yaml", "--json", code=1).error
    assert (missing["code"], missing["next_step"]) == ("W3B-2002", "Run `w3bstream project create rain` first.")
    project = cli("project", "create", "rain", "--json").json
    assert (project["id"], project["state"]) == ("2", "PROJECT_STATE_ACTIVE")
    again = cli("project", "publish", "rain.yaml", "--no-wait", "--json").json
    assert (again["version"], again["state"], again["devices"]) == (1, "VERSION_STATE_PENDING", 2)

    def mine(state: str) -> None:
        async def change() -> None:
            async with live.ledger.transaction() as session:
                for row in await session.exec(select(ProjectVersionRow).where(ProjectVersionRow.state == "PENDING")):
                    row.state = state
                    session.add(row)

        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            time.sleep(0.1)
            live.run(change())

    miner = threading.Thread(target=mine, args=("PUBLISHED",))
    miner.start()
    assert "PUBLISHED" in cli("project", "publish", "rain.yaml").out
    miner.join()
    late = cli("project", "publish", "rain.yaml", "--timeout", "0.1", "--json", code=1).error
    assert late["code"] == "W3B-7012"
    miner = threading.Thread(target=mine, args=("FAILED",))
    miner.start()
    assert cli("project", "publish", "rain.yaml", "--json", code=1).error["code"] == "W3B-5002"
    miner.join()
    assert cli("project", "pause", "2", "--json").json["state"] == "PROJECT_STATE_PAUSED"
    assert "ACTIVE" in cli("project", "resume", "2").out
    found = cli("project", "get", "2", "--json").json
    assert [version["version"] for version in found["versions"]] == [1, 2, 3, 4]
    assert found["intake"]["accepted"] == "0"
    assert [each["name"] for each in cli("project", "list", "--json").json["projects"]] == ["weather", "rain"]
    for page in (cli("project", "list").out, cli("project", "get", "2").out):
        assert "rain" in page


def test_a_bad_project_file(cli: Cli) -> None:
    Path("bad.yaml").write_text("name: weather\nwindow: x\n")
    assert cli("project", "publish", "bad.yaml", "--json", code=1).error["code"] == "W3B-2001"
    Path("worse.yaml").write_text("- 1")
    assert cli("project", "publish", "worse.yaml", "--json", code=1).error["code"] == "W3B-2001"
    none = cli("project", "publish", "none.yaml", "--json", code=1).error
    assert (none["code"], none["message"], none["next_step"]) == (
        "W3B-7016",
        "there is no file none.yaml",
        "Check the path.",
    )
    mapping = "the file must be a mapping that begins with schema: w3bstream/v1"
    for text, message in (
        ("", "the file is empty"),
        ("# only this\n", "the file is empty"),
        ("- 1\n", mapping),
        ("a: 1\nb:\n\tc: 2\n", "line 3: a tab; indent with spaces"),
        ("a: [\n", "line 2: this is no YAML: "),
        ("a: 1\n", "the field name is missing or no text"),
    ):
        Path("bad.yaml").write_text(text)
        error = cli("project", "publish", "bad.yaml", "--json", code=1).error
        assert error["code"] == "W3B-2001"
        assert error["message"].startswith(f"bad.yaml: {message}")


def test_a_project_by_its_name(cli: Cli) -> None:
    assert cli("project", "get", "weather", "--json").json["project"]["id"] == "1"
    assert cli("task", "list", "--project", "weather", "--json").json["tasks"] == []
    assert cli("task", "list", "--project", "snow", "--json", code=1).error["code"] == "W3B-2002"
    for wrong in ("-1", "1.5", "My Project", str(1 << 64)):
        error = cli("task", "list", f"--project={wrong}", "--json", code=1).error
        assert error["code"] == ("W3B-2002" if wrong.isdigit() else "W3B-7008")


def test_a_task_by_the_beginning_of_its_id(live: Live, cli: Cli) -> None:
    first, twin = (task_row(n) for n in (1, 2))
    first.id, twin.id = "0xabcdef1" + "0" * 57, "0xabcdef2" + "0" * 57
    live.add(first, twin)
    for given in ("0xabcdef1", "abcdef1", f"{first.id[:14]}…", first.id.upper().replace("X", "x")):
        assert cli("task", "get", given, "--json").json["task"]["id"] == first.id
    several = cli("task", "get", "0xabcdef", "--json", code=1).error
    assert (several["code"], several["next_step"]) == ("W3B-7008", "Give more digits.")
    assert cli("task", "get", "0x123456", "--json", code=1).error["code"] == "W3B-3003"
    short = cli("task", "get", "0x12", "--json", code=1).error
    assert (short["code"], short["message"]) == ("W3B-7008", "'0x12' is no task id (0x and 64 hex digits)")


def test_ids_are_shortened_where_there_is_no_room() -> None:
    identity = "0x27d0a887d20f" + "a" * 52
    assert shown_id(identity, Console(width=119)) == "0x27d0a887d20f…"
    assert shown_id(identity, Console(width=120)) == identity
    assert shown_id("prover-1", Console(width=80)) == "prover-1"


def test_tasks(live: Live, cli: Cli) -> None:
    live.add(*(task_row(n, created_at=1_700_000_000_000 + n, state="OPEN") for n in range(3, 6)))
    first = task_row(3).id
    listed = cli("task", "list", "--project", "1", "--state", "open", "--limit", "2", "--json").json
    assert ([task["id"] for task in listed["tasks"]], listed["counts"]) == (
        [task_row(5).id, task_row(4).id],
        {"OPEN": "3"},
    )
    rest = cli(
        "task", "list", "-p", "1", "--state", "open", "--limit", "2", "--page", listed["next_page_token"], "--json"
    )
    assert [task["id"] for task in rest.json["tasks"]] == [first]
    assert not cli("task", "list", "--before", "2020-01-01", "--json").json["tasks"]
    assert len(cli("task", "list", "--after", "2020-01-01T00:00:00Z", "--json").json["tasks"]) == 3
    assert cli("task", "list", "--after", "yesterday", "--json", code=1).error["code"] == "W3B-7008"
    assert cli("task", "list", "--state", "flying", "--json", code=1).error["code"] == "W3B-7008"
    assert first in cli("task", "list").out
    assert "more: --page" in cli("task", "list", "--limit", "1").err
    assert cli("task", "cancel", first, "--reason", "test", "--json").json["state"] == "TASK_STATE_CANCELLED"
    refused = cli("task", "cancel", first, code=1)
    assert refused.err.startswith("W3B-3001: ")
    assert "Look at its timeline" in refused.err
    found = cli("task", "get", first, "--json").json
    assert [event["target"] for event in found["timeline"]] == ["CANCELLED"]
    assert "CANCELLED" in cli("task", "get", first).out
    assert cli("task", "get", f"0x{0:064x}", "--json", code=1).error["code"] == "W3B-3003"
    events = [json.loads(line) for line in cli("task", "watch", first, "--json").out.splitlines()]
    assert [(event["id"], event["target"]) for event in events] == [("1", "CANCELLED")]
    assert "OPEN -> CANCELLED" in cli("task", "watch", first).out
    assert "cancelled by" in cli("task", "watch", first).out
    assert cli("task", "watch", "--json", code=1).error["code"] == "W3B-7008"
    for number in (4, 5):
        cli("task", "cancel", task_row(number).id)
    lines = cli("task", "watch", "--project", "1", "--until-settled", "--after", "1", "--json").out.splitlines()
    assert len(lines) == 2
    assert not cli("task", "watch", "--project", "1", "--until-settled", "--json").out
    assert len(cli("task", "watch", "-p", "1", "--until-settled", "--after", "0", "--json").out.splitlines()) == 3


def test_the_live_view_on_a_terminal(live: Live, cli: Cli) -> None:
    live.add(task_row(1), task_row(2), task_row(3))
    cli("task", "cancel", task_row(3).id)
    reader, terminal = pty.openpty()
    watch = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from coordinator.cli import main; main()",
            "task",
            "watch",
            "-p",
            "1",
            "--until-settled",
        ],
        stdout=terminal,
        env=child_environment(W3BSTREAM_HOME=str(live.home), TERM="xterm", COLUMNS="160"),
    )
    time.sleep(3)  # it must have seen that both are under way
    for number in (1, 2):
        cli("task", "cancel", task_row(number).id)
    assert watch.wait(60) == 0
    os.close(terminal)
    shown = os.read(reader, 1 << 16).decode(errors="replace")
    os.close(reader)
    assert task_row(3).id not in shown
    assert task_row(1).id in shown
    assert task_row(2).id in shown
    assert "last change" in shown


def test_provers(live: Live, cli: Cli) -> None:
    live.add(
        ProverRow(id="p1", kind="zkp.groth16", address="0x01", trust="development key", created_at=1, updated_at=1)
    )
    assert "development key" in cli("prover", "list").out
    assert cli("prover", "list", "--kind", "tee.sgx", "--json").json == {"provers": []}
    assert cli("prover", "drain", "p1", "--json").json["draining"] is True
    assert "takes work" in cli("prover", "drain", "p1", "--undo").out
    assert cli("prover", "drain", "p2", "--json", code=1).error["code"] == "W3B-3007"
    watch = subprocess.Popen(
        [sys.executable, "-c", "from coordinator.cli import main; main()", "prover", "watch", "--json"],
        stdout=subprocess.PIPE,
        text=True,
        env=child_environment(W3BSTREAM_HOME=str(live.home), PYTHONUNBUFFERED="1"),
    )
    assert watch.stdout is not None
    reasons = [json.loads(watch.stdout.readline())["reason"] for _ in range(2)]
    watch.terminate()
    watch.wait(10)
    watch.stdout.close()
    assert reasons == ["draining: takes no new work", "draining ended"]


def test_webhooks(live: Live, cli: Cli) -> None:
    made = cli(
        "webhook", "create", "http://127.0.0.1:9/hook", "--project", "1", "--event", "w3bstream.task.final", "--json"
    )
    identity = made.json["webhook"]["id"]
    assert identity in cli("webhook", "list", "--project", "1").out
    assert cli("webhook", "list", "-p", "1", "--json").json["webhooks"][0]["id"] == identity
    assert cli("webhook", "create", "https://10.0.0.1/", "-p", "1", "--json", code=1).error["code"] == "W3B-6002"
    plain = cli("webhook", "create", "http://127.0.0.1:9/other", "-p", "1")
    assert plain.out.startswith("whsec_")
    renewed = cli("webhook", "secret", identity, "--json").json["secret"]
    assert renewed != made.json["secret"]
    assert cli("webhook", "disable", identity, "--json").json["disabled"] is True
    assert "enabled" in cli("webhook", "disable", identity, "--undo").out
    live.add(
        WebhookMessageRow(
            id="msg_1",
            endpoint_id=identity,
            project_id=1,
            event_type="w3bstream.task.final",
            subject="0x01",
            body=b"{}",
            state="DEAD",
            created_at=1,
        )
    )
    assert cli("webhook", "deliveries", "-p", "1", "--json").json["messages"][0]["id"] == "msg_1"
    assert "msg_1" in cli("webhook", "deliveries", "-p", "1", "--state", "DEAD", "--webhook", identity).out
    assert cli("webhook", "replay", "msg_1", "--json").json["state"] == "PENDING"
    assert cli("webhook", "replay", "msg_2", "--json", code=1).error["code"] == "W3B-6004"


def test_a_received_webhook_is_verified_offline(cli: Cli) -> None:
    from datetime import UTC, datetime

    secret, body = "whsec_" + "A" * 43 + "=", b'{"type":"w3bstream.task.final","subject":"0x01"}'
    now = datetime.now(UTC)
    signature = Webhook(secret).sign("msg_1", now, body.decode())
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}
    Path("body").write_bytes(body)
    Path("headers").write_text(json.dumps(headers))
    Path("secret").write_text(secret + "\n")
    arguments = ("webhook", "verify", "body", "--headers", "headers", "--secret-file", "secret")
    assert cli(*arguments, "--json").json["subject"] == "0x01"
    assert "the signature holds" in cli(*arguments).out
    Path("body").write_bytes(body.replace(b"0x01", b"0x02"))
    assert cli(*arguments, "--json", code=1).error["code"] == "W3B-6003"
    Path("headers").write_text("[1]")
    assert cli(*arguments, "--json", code=1).error["code"] == "W3B-7016"


def test_keys(cli: Cli) -> None:
    made = cli("keys", "device", "generate", "roof", "--type", "p256", "--json").json
    assert (made["key_type"], len(made["public_key"])) == ("p256", 130)
    shown = cli("keys", "device", "show", "keys/roof.json", "--json").json
    assert shown == made
    assert (
        json.loads(Path("keys/roof.json").read_text())["private_key"]
        not in cli("keys", "device", "show", "keys/roof.json").out
    )
    before = Path("keys/roof.json").read_text()
    assert cli("keys", "device", "generate", "roof", "--json", code=1).error["code"] == "W3B-7016"
    assert Path("keys/roof.json").read_text() == before
    assert cli("keys", "device", "generate", "../roof", "--json", code=1).error["code"] == "W3B-7016"
    assert cli("keys", "device", "generate", "x", "--type", "rsa", "--json", code=1).error["code"] == "W3B-1010"
    key = cli("keys", "api", "create", "reader", "--scope", "tasks:read", "--json").json
    plain = cli("keys", "api", "create", "reader", "--scope", "tasks:read").out
    assert plain.startswith("w3b_")
    assert cli("task", "list", "--api-key", key["secret"], "--json").json["tasks"] == []
    assert cli("project", "list", "--api-key", key["secret"], "--json", code=1).error["code"] == "W3B-7004"
    assert len(cli("keys", "api", "list", "--json").json["api_keys"]) == 3
    assert "reader" in cli("keys", "api", "list").out
    assert cli("keys", "api", "revoke", key["api_key"]["id"], "--json").json["revoked_at"]
    assert cli("task", "list", "--api-key", key["secret"], "--json", code=1).error["code"] == "W3B-7003"


def test_status_fails_when_a_part_is_down(live: Live, cli: Cli) -> None:
    from coordinator.api.surroundings import ComponentStatus

    assert "healthy" in cli("status").out
    live.site.parts = [ComponentStatus("nats", False, "does not answer")]
    assert "not healthy" in cli("status", code=1).out
    assert f"id 4690, {live.site.chain_rpc_url}" in cli("status", code=1).out
    assert cli("status", "--json", code=1).json["components"][0]["healthy"] is False
    live.site.parts = [ComponentStatus("ray", False, "0 of 2 workers ready, Ray is starting")]
    page = cli("status", code=1).out
    assert re.search(r"ray +starting +0 of 2", page)
    assert "not healthy" not in page


def test_wrong_usage(cli: Cli) -> None:
    for arguments in (
        ("task", "get"),
        ("ingest",),
        ("ingest", "x.csv"),
        ("task", "list", "--limit", "0"),
        ("nonsense",),
    ):
        assert "Usage" in cli(*arguments, code=2).err


def test_home_files_that_cannot_be_read(live: Live, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    (live.home / "admin.key").unlink()
    assert cli("status", "--json", code=1).error["code"] == "W3B-7001"
    (live.home / "api.json").write_text("{")
    assert cli("status", "--json", code=1).error["code"] == "W3B-7016"
    monkeypatch.setenv("W3BSTREAM_CA", "/nonexistent")
    assert cli("status", "--json", code=1).error["code"] == "W3B-7016"
