"""What must hold: while a worker, NATS, the chain and the webhook receiver are killed under load, nothing that was
acknowledged is lost and nothing counts twice; the command says so in its last line, and leaves no process behind."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from coordinator.chaos.faults import FaultKind
from tests.e2e.installation import COMMAND, clean_environment, set_up_keys, with_keys

KINDS = ("worker-killed", "nats-killed", "chain-killed", "receiver-killed")
SECONDS = 600
"""For the whole run; alone on a machine it takes about one minute."""


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 60)
def test_a_short_run_ends_with_the_report_at_zero(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    home = with_keys(tmp_path / "home", set_up_keys(tmp_path_factory.getbasetemp()))
    options = ["--seed", "3", "--minutes", "0.6", "--rate", "1", "--projects", "1", "--home", str(home), "--json"]
    chosen = [word for kind in KINDS for word in ("--fault", kind)]
    ran = subprocess.run(
        [str(COMMAND), "chaos", *options, *chosen],
        env=clean_environment(tmp_path / "not used", {"PROVERS": "2"}),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    said = f"{ran.stdout}{ran.stderr[-6000:]}"
    assert ran.returncode == 0, said
    found = json.loads(ran.stdout.splitlines()[-1])
    assert (found["lost"], found["doubled"], found["breaks"]) == (0, 0, []), said
    assert found["accepted"] == found["proven"] == found["settled"] == found["notified"] > 16, said
    assert found["ended_by_itself"] == 0, said
    struck = [each for each in found["faults"] if each["target"]]
    assert {each["kind"] for each in struck} <= {FaultKind(kind) for kind in KINDS}
    assert len(struck) >= len(KINDS) - 1, said
    left = [path for path in Path("/proc").iterdir() if path.name.isdigit() and _runs_in(path, home)]
    assert left == []


def _runs_in(process: Path, home: Path) -> bool:
    try:
        return str(home).encode() in (process / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_an_operator_s_home_is_refused(tmp_path: Path) -> None:
    (tmp_path / "admin.key").write_text("w3b_")
    ran = subprocess.run(
        [str(COMMAND), "chaos", "--home", str(tmp_path), "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 1
    assert json.loads(ran.stderr.splitlines()[-1])["error"]["code"] == "W3B-8101"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["admin.key"]


def test_an_unknown_fault_is_refused(tmp_path: Path) -> None:
    ran = subprocess.run(
        [str(COMMAND), "chaos", "--home", str(tmp_path), "--fault", "meteor", "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 1
    assert json.loads(ran.stderr.splitlines()[-1])["error"]["code"] == "W3B-7008"
