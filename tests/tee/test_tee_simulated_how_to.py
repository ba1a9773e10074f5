"""docs/how-to/simulate-tee.md: what it shows works, and what it says of each platform is so."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from simulated_installations import MEASURED, attester
from typer.testing import CliRunner

from coordinator.cli import app
from verifier.attestation.evidence import Platform

PAGE = (Path(__file__).resolve().parents[2] / "docs/how-to/simulate-tee.md").read_text()


def test_evidence_is_made_as_shown_and_verified_as_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("W3BSTREAM_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(block, "simulate-tee.md", "exec"), {})
    (command,) = re.findall(r"^    w3bstream (attestation verify [^\n]*\\\n[^\n]*)\n", PAGE, re.MULTILINE)
    arguments = [*command.replace("\\\n", " ").split(), "--json"]
    for given, status in ((arguments, "warning"), ([*arguments[:7], "--json"], "contraindicated")):
        done = CliRunner().invoke(app, given)
        assert done.exit_code == 1, done.output
        assert json.loads(done.stdout)["submods"]["tdx"]["ear_status"] == status


def test_the_table_names_the_measurements_of_every_platform() -> None:
    rows = re.findall(r"^\| `([a-z0-9-]+)` \|([^|]*)\|([^|]*)\|", PAGE, re.MULTILINE)
    assert {name for name, _, _ in rows} == {each.value for each in Platform}
    for name, digest, configuration in rows:
        platform = Platform(name)
        if platform is Platform.NVIDIA_H100:
            continue
        found = attester(platform).measurements(MEASURED)
        (first, *_) = re.findall(r"`(\w+)`", digest)
        assert found[first] == MEASURED.digest(len(found[first]))
        for field in re.findall(r"`(\w+)`", configuration):
            assert found[field].rstrip(b"\0") == MEASURED.configuration.rstrip(b"\0")
