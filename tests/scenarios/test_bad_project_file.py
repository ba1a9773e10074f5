"""What must hold: a project file that is not valid is refused with W3B-2001 and the line that is wrong, and changes
nothing: no version, no row of the ledger, no transaction, no devices."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from coordinator.api.client import Client
from coordinator.projects.example import example
from tests.e2e.installation import COMMAND, ChainView, Installation, clean_environment, until
from tests.e2e.weather_project import WeatherProject
from verifier.errors import InvalidInput

TABLES = ("project_version", "device", "webhook_endpoint", "task")


def line_of(text: str, part: str) -> int:
    """Number of the first line that holds `part`, from 1."""
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


def swapped(old: str, new: str) -> Callable[[str], str]:
    """Replaces text that must be there."""

    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return change


# A name to what is done to a good file, and to the text on the line that the refusal must name.
BAD: dict[str, tuple[Callable[[str], str], str]] = {
    "window of no reading": (swapped("readings: 16", "readings: 0"), "readings: 0"),
    "unknown field": (swapped("deadline_seconds:", "dead_line:"), "dead_line:"),
    "wrong type": (swapped("seconds: 30", "seconds: soon"), "seconds: soon"),
    "unknown schema": (swapped("schema: w3bstream/v1", "schema: w3bstream/v9"), "w3bstream/v9"),
    "unknown commitment": (swapped("poseidon-bn254-v1", "sha256-v1"), "sha256-v1"),
    "kind that no program has": (swapped("assurance: zkp(groth16)", "assurance: tee(sgx)"), "tee(sgx)"),
    "no YAML": (swapped("window:", "window: ["), "seconds: 30"),
    "the same key twice": (swapped("dapp: sample", "dapp: sample\ndapp: null"), "dapp: null"),
}


@pytest.fixture(scope="module")
def published(installation: Installation) -> WeatherProject:
    """A project whose version 1 is good, and which the intake has begun to read."""
    with installation.client() as client:
        project = WeatherProject(client, "bad-file")
    begun = "select 1 from project_version where project_id = ? and first_position > 0"
    until(lambda: installation.rows(begun, project.id), 30, "the intake has the version")
    return project


def picture(installation: Installation, client: Client, project: WeatherProject) -> list[object]:
    """All that a publication could change about this project."""
    chain = ChainView(client)
    queries = [f"select * from {table} where project_id = {project.id}" for table in TABLES]
    queries.append("select id from outbox_tx where purpose in ('create_project', 'publish_version')")
    rows = [[tuple(row) for row in installation.rows(query)] for query in queries]
    state = chain.contract("ProjectRegistry").functions.project(project.id).call()
    return [rows, state, client.get_project(project.id).SerializeToString(deterministic=True)]


@pytest.mark.parametrize("name", BAD)
def test_bad_project_file(installation: Installation, client: Client, published: WeatherProject, name: str) -> None:
    change, wrong = BAD[name]
    text = change(published.file)
    before = picture(installation, client, published)
    with pytest.raises(InvalidInput) as refused:
        client.publish_version(published.id, text)
    assert refused.value.code == "W3B-2001"
    assert f"line {line_of(text, wrong)}: " in refused.value.message
    assert refused.value.next_step
    assert picture(installation, client, published) == before


def test_bad_project_file_by_command(
    installation: Installation, client: Client, published: WeatherProject, tmp_path: Path
) -> None:
    """The command line tells the same, and ends with status 1."""
    text = example("bad-file", [key.registration() for key in published.keys]).replace("readings: 16", "readings: 0")
    file = tmp_path / "project.yaml"
    file.write_text(text)
    before = picture(installation, client, published)
    ran = subprocess.run(
        [str(COMMAND), "project", "publish", str(file), "--json"],
        env=clean_environment(installation.home, {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 1, ran.stdout + ran.stderr
    error = json.loads(ran.stderr)["error"]
    assert error["code"] == "W3B-2001"
    assert f"line {line_of(text, 'readings: 0')}" in error["message"]
    assert picture(installation, client, published) == before
