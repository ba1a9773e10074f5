"""What must hold: one command shows the whole path on real readings, and its last line tells a program what came of
it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.e2e.installation import COMMAND, clean_environment, with_keys


def test_the_demo_ends_well_and_says_so_in_its_last_line(tmp_path: Path, keys: Path) -> None:
    home = with_keys(tmp_path / "home", keys)
    ran = subprocess.run(
        [str(COMMAND), "demo", "--once", "--json", "--readings", "32", "--devices", "2"],
        env=clean_environment(home, {}),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    seconds = lines[-1].pop("seconds")
    assert lines[-1] == {"readings": 32, "tasks": 2, "final": 2, "webhooks_verified": 2}
    assert 0 < seconds < 240
    (compared,) = [line for line in lines if "contract" in line]
    assert compared["equal_to_input"] is True
    assert compared["contract"]["count"] == 32
    assert [compared["contract"][name] for name in ("missing", "duplicates", "late", "reordered")] == [0] * 4
    finals = [line["task"] for line in lines if line.get("subject") == "task" and line["to"] == "FINAL"]
    assert len(finals) == len(set(finals)) == 2
    assert not (home / "api.json").exists(), "the service ended in order"
