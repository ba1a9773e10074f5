"""The image's recipe, and its scripts run for real with stand-ins for what they call."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from deploy_files import DEPLOY, ROOT, variables

from coordinator.settings import PREFIX, Settings
from coordinator.settlement.signer import KeyFileSigner

FOLDER = DEPLOY / "container"
SCRIPTS = ("prepare-home", "start-coordinator")


def instructions() -> list[tuple[str, str]]:
    """(instruction, argument) of the recipe, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (FOLDER / "Containerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines if line]


def test_the_recipe_is_pinned_unprivileged_and_names_what_exists() -> None:
    steps = instructions()
    stages = [argument for name, argument in steps if name == "FROM"]
    assert len(stages) == 2
    assert all(re.match(r"docker\.io/\S+:[0-9]\S*", stage) for stage in stages)
    assert {name for name, _ in steps} <= {
        "FROM",
        "RUN",
        "WORKDIR",
        "COPY",
        "ENV",
        "USER",
        "VOLUME",
        "ENTRYPOINT",
        "CMD",
    }
    users = [argument for name, argument in steps if name == "USER"]
    assert users == ["10001:10001"]
    assert steps.index(("USER", users[0])) > max(n for n, (name, _) in enumerate(steps) if name in {"RUN", "COPY"})
    for name, argument in steps:
        if name == "COPY" and "--from" not in argument:
            *sources, _ = [word for word in argument.split() if not word.startswith("--")]
            assert all((ROOT / source).exists() for source in sources)
        if "apt-get install" in argument:
            assert "--no-install-recommends" in argument
            assert "rm -rf /var/lib/apt/lists/*" in argument


def test_python_and_rust_are_new_enough() -> None:
    text = (FOLDER / "Containerfile").read_text()
    assert re.search(r"python:(\d+\.\d+)", text)[1] == "3.11"  # type: ignore[index]
    wanted = re.search(r"Rust (\d+)\.(\d+) or newer", (ROOT / "Makefile").read_text())
    given = re.search(r"rust:(\d+)\.(\d+)", text)
    assert wanted is not None
    assert given is not None
    assert tuple(map(int, given.groups())) >= tuple(map(int, wanted.groups()))


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_installed_and_plain_shell(name: str) -> None:
    subprocess.run(["bash", "-n", str(FOLDER / f"{name}.sh")], check=True)
    assert f"deploy/container/{name}.sh /usr/local/bin/{name}" in (FOLDER / "Containerfile").read_text()
    assert "set -eu" in (FOLDER / f"{name}.sh").read_text()


def prepare(home: Path, **more: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        PREFIX + "HOME": str(home),
        **{key: str(path) for key, path in more.items()},
    }
    subprocess.run(["sh", str(FOLDER / "prepare-home.sh")], check=True, env=environment)


def test_a_home_is_prepared_so_that_the_service_takes_it(tmp_path: Path) -> None:
    secrets, shared = tmp_path / "secrets", tmp_path / "proving-keys"
    (secrets / "keys").mkdir(parents=True)
    (secrets / "nats-credentials").mkdir()
    shared.mkdir()
    account = KeyFileSigner.at(secrets / "keys" / "coordinator.json").address
    (secrets / "keys" / "tokens.json").write_text("{}")
    (secrets / "nats-credentials" / "weather.creds").write_text("creds")
    for path in secrets.rglob("*.json"):
        path.chmod(0o440)  # as Kubernetes mounts them for a group
    homes = [tmp_path / "volume" / name for name in ("first", "second")]
    for home in homes:
        prepare(home, SECRETS=secrets, PROVING_KEYS=shared)
        prepare(home, SECRETS=secrets, PROVING_KEYS=shared)  # a restart finds everything there
        assert KeyFileSigner.at(home / "keys" / "coordinator.json").address == account
        assert Settings(home=home).token_file.stat().st_mode & 0o777 == 0o600
        assert (home / "credentials" / "weather.creds").stat().st_mode & 0o777 == 0o600
    (homes[0] / "keys" / "groth16" / "made-by-the-first").touch()
    assert (homes[1] / "keys" / "groth16" / "made-by-the-first").exists()


def test_the_page_on_kubernetes_makes_the_keys_that_it_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "how-to" / "deploy-kubernetes.md").read_text()
    found = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert found is not None
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    told = subprocess.run([sys.executable, "-c", found[1]], capture_output=True, text=True, check=True)
    assert KeyFileSigner.at(tmp_path / "coordinator.json").address == told.stdout.strip()
    assert {path.name for path in tmp_path.iterdir()} == {"coordinator.json", "tokens.json"}


def test_a_node_without_secrets_gets_the_proving_keys_only(tmp_path: Path) -> None:
    prepare(tmp_path / "home", SECRETS=tmp_path / "none", PROVING_KEYS=tmp_path / "shared")
    assert [path.name for path in (tmp_path / "home" / "keys").iterdir()] == ["groth16"]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The coordinator's start script with stand-ins, once both are up; `w3bstream` ends with 7 on SIGTERM."""
    scripts = {
        "prepare-home": 'echo prepare-home > "$FOLDER/prepared"',
        "ray": 'echo $$ > "$FOLDER/ray.pid"; echo "$@" > "$FOLDER/ray.new"; mv "$FOLDER/ray.new" "$FOLDER/ray.args"\n'
        "exec sleep 300",
        "w3bstream": 'trap "exit 7" TERM\necho "$@" > "$FOLDER/up.new"; mv "$FOLDER/up.new" "$FOLDER/up.args"\n'
        "while :; do sleep 0.05; done",
    }
    for name, text in scripts.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"127.0.0.1:{head.getsockname()[1]}"
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "FOLDER": str(tmp_path)}
        with subprocess.Popen(
            ["bash", str(FOLDER / "start-coordinator.sh")],
            env=environment | {PREFIX + "RAY_ADDRESS": address},
            text=True,
        ) as running:
            until = time.monotonic() + 60
            while not ((tmp_path / "ray.args").exists() and (tmp_path / "up.args").exists()):
                assert time.monotonic() < until
                time.sleep(0.05)  # two processes come up
            assert f"--address={address}" in (tmp_path / "ray.args").read_text().split()
            yield running
            running.kill()


def test_the_coordinator_runs_beside_a_raylet_that_runs_nothing(started: subprocess.Popen[str], tmp_path: Path) -> None:
    assert (tmp_path / "prepared").exists()
    given = (tmp_path / "ray.args").read_text().split()
    assert {"start", "--block", "--node-ip-address=127.0.0.1", "--num-cpus=0"} <= set(given)
    assert (tmp_path / "up.args").read_text().split() == ["up"]
    started.terminate()
    assert started.wait(60) == 7  # the coordinator's own end is the container's
    with pytest.raises(ProcessLookupError):
        until = time.monotonic() + 60
        while time.monotonic() < until:
            os.kill(int((tmp_path / "ray.pid").read_text()), 0)
            time.sleep(0.05)  # the raylet ends after the coordinator


def test_the_coordinator_ends_with_its_raylet(started: subprocess.Popen[str], tmp_path: Path) -> None:
    os.kill(int((tmp_path / "ray.pid").read_text()), signal.SIGKILL)
    assert started.wait(60) == 7


def test_every_variable_in_every_deploy_file_is_a_setting() -> None:
    """Fails when a setting is renamed and a deploy file is forgotten."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    files = [path for path in DEPLOY.rglob("*") if path.is_file() and path.suffix != ".json"]
    named = {path: variables(path.read_text()) for path in files}
    assert sum(len(found) for found in named.values()) > 30
    assert {str(path): found - known for path, found in named.items() if found - known} == {}
