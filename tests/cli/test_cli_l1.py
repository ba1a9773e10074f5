"""`w3bstream l1` hands over to the commands of `python -m l1`: one implementation, two doors."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from cli_run import Cli

from coordinator.cli.l1.doors import DOOR
from l1.commands import COMMANDS, MODULE_DOOR, run
from l1.nodes.wal import NAME

ROOT = Path(__file__).resolve().parents[2]
Out = pytest.CaptureFixture[str]


def names_aside(text: str) -> str:
    """The text without the names of the doors, on one line: help is wrapped where the names end."""
    for own in ("python -m l1.simulation", "python -m l1.modelcheck", DOOR, MODULE_DOOR):
        text = text.replace(own, "DOOR")
    return re.sub(r"\s+", " ", text.replace("DOOR simulate", "DOOR").replace("DOOR modelcheck", "DOOR"))


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_the_same_at_both_doors(name: str, capsys: Out) -> None:
    with pytest.raises(SystemExit) as ended:
        run(name, ["--help"])
    assert ended.value.code == 0
    ours = Cli()("l1", name, "--help").out
    assert names_aside(ours) == names_aside(capsys.readouterr().out)
    assert f"usage: {DOOR} {name}" in ours
    assert MODULE_DOOR not in ours


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two delegates' keys, a genesis of each, and a file that is nothing."""
    folder = tmp_path_factory.mktemp("made")
    cli = Cli()
    for name in ("a", "b"):
        registration = folder / f"{name}.json"
        registration.write_text(cli("l1", "keygen", "--out", str(folder / f"{name}.key")).out)
        to = str(folder / f"{name}.genesis")
        told = cli("l1", "genesis", "--delegates", str(registration), "--without-staking", "--out", to)
        assert told.json["delegates"] == 1
    (folder / "junk").write_text("nonsense")
    (folder / "junk").chmod(0o600)
    return folder


@pytest.fixture
def files(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, in which the test is."""
    folder = tmp_path / "work"
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)
    return folder


REFUSALS = [
    (("keygen", "--out", "absent/a.key"), "W3B-7016", "its folder absent is not there"),
    (("keygen", "--out", "a.key"), "W3B-7016", "keys are not overwritten"),
    (("keygen", "--out", "c.key", "--power", "0"), "W3B-7016", "--power"),
    (("keygen", "--out", "c.key", "--power", "9" * 60), "W3B-7016", "--power"),
    (("genesis", "--delegates", "0", "--out", "g"), "W3B-7016", "registration 0: No such file"),
    (("genesis", "--delegates", "junk", "--out", "g"), "W3B-7016", "It is what `w3bstream l1 keygen` prints"),
    (("genesis", "--delegates", "a.json", "a.json", "--out", "g"), "W3B-7016", "twice"),
    (("genesis", "--delegates", "a.json", "--out", "absent/g"), "W3B-7016", "its folder absent is not there"),
    (("genesis", "--delegates", "a.json", "--base", "junk", "--out", "g"), "W3B-7016", "genesis file junk"),
    (("genesis", "--delegates", "a.json", "--blocks-per-epoch", "2", "--out", "g"), "W3B-7016", "below 4"),
    (("node", "--data-dir", "n"), "W3B-8002", "--genesis"),
    (("node", "--data-dir", "n", "--genesis", "absent"), "W3B-8002", "genesis file absent: No such file"),
    (("node", "--data-dir", "n", "--genesis", "junk"), "W3B-8002", "genesis file junk"),
    (("node", "--data-dir", "n", "--genesis", "a.json"), "W3B-8002", "unknown key"),
    (("node", "--data-dir", "junk", "--genesis", "a.genesis"), "W3B-8002", "junk"),
    (("node", "--data-dir", "n", "--genesis", "a.genesis", "--key", "junk"), "W3B-8002", "holds no keys"),
    (("node", "--data-dir", "n", "--genesis", "a.genesis", "--key", "b.key"), "W3B-8002", "does not name"),
    (("node", "--data-dir", "n", "--genesis", "a.genesis", "--listen", "x:99999"), "W3B-8002", "HOST:PORT"),
    (("node", "--data-dir", "n", "--genesis", "a.genesis", "--rpc-host", "no.invalid"), "W3B-8002", "--rpc-port"),
    (("simulate", "--reference-port", "--signatures"), "W3B-7008", "leave out --signatures"),
    (("modelcheck", "--honest", ""), "W3B-7008", "at least one honest delegate"),
]


@pytest.mark.parametrize(("given", "code", "told"), REFUSALS, ids=[" ".join(given) for given, _, _ in REFUSALS])
def test_what_cannot_be_carried_out_is_said_in_a_line(
    given: tuple[str, ...], code: str, told: str, files: Path, capsys: Out
) -> None:
    said = Cli()("l1", *given, code=2)
    first, second = said.err.splitlines()
    assert first.startswith(f"{code}: ")
    assert told in first
    assert second == f"`w3bstream l1 {given[0]} --help` has the options and examples."
    error = Cli()("l1", *given, "--json", code=2).error
    assert (error["code"], f"{code}: {error['message']}") == (code, first)
    assert run(given[0], given[1:]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"python -m l1 {given[0]}: {error['message'].replace(DOOR, MODULE_DOOR)}"
    assert run(given[0], [*given[1:], "--json"]) == 2
    assert json.loads(capsys.readouterr().err)["error"]["message"].replace(MODULE_DOOR, DOOR) == error["message"]


USAGE = [
    ("keygen",),
    ("genesis", "--delegates", "--out", "g"),
    ("genesis", "--delegates", "a.json", "--interval", "inf", "--out", "g"),
    ("genesis", "--delegates", "a.json", "--chain-id", "-1", "--out", "g"),
    ("genesis", "--delegates", "a.json", "--operator-iotx", "-5", "--out", "g"),
    ("node", "--data-dir", "n", "--genesis", "a.genesis", "--rpc-port", "99999"),
    ("node", "--data-dir", "n", "--genesis", "a.genesis", "--vote-from", "-4"),
    ("node", "--data-dir", "n", "--genesis", "a.genesis", "--interval", "nan"),
    ("node", "--data-dir", "n", "--genes", "a.genesis"),
    ("simulate", "--seeds", "x"),
    ("simulate", "--seeds", "5:1"),
    ("simulate", "--faults", "nonsense"),
    ("modelcheck", "--rounds", "99"),
    ("modelcheck", "--rounds", "0"),
    ("modelcheck", "--honest", "1,x"),
]


@pytest.mark.parametrize("given", USAGE, ids=" ".join)
def test_wrong_usage_ends_with_two(given: tuple[str, ...], files: Path, capsys: Out) -> None:
    said = Cli()("l1", *given, code=2)
    assert said.err.startswith(f"usage: {DOOR} {given[0]}")
    assert f"{DOOR} {given[0]}: error: " in said.err.splitlines()[-1]
    with pytest.raises(SystemExit) as ended:
        run(given[0], given[1:])
    assert ended.value.code == 2


def test_a_port_in_use(files: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for option in (("--rpc-port", port), ("--listen", f"127.0.0.1:{port}")):
            said = Cli()("l1", "node", "--data-dir", "n", "--genesis", "a.genesis", *option, "--json", code=2).error
            assert said["code"] == "W3B-8002"
            assert "address already in use: name another port or address" in said["message"]


def test_a_folder_of_another_chain_and_a_damaged_one(files: Path) -> None:
    key = ("--key", "a.key", "--rpc-host", "no.invalid")
    Cli()("l1", "node", "--data-dir", "n", "--genesis", "a.genesis", *key, code=2)
    foreign = Cli()("l1", "node", "--data-dir", "n", "--genesis", "b.genesis", code=2)
    assert "another genesis: choose another --data-dir" in foreign.err
    log = Path("n") / NAME
    log.write_bytes(b"no log of votes, but long enough to be one that was changed" * 2)
    assert "is damaged" in Cli()("l1", "node", "--data-dir", "n", *key, code=2).err
    (Path("n") / "chain.sqlite").write_bytes(b"no database, but long enough to be looked at")
    assert "chain.sqlite is damaged" in Cli()("l1", "node", "--data-dir", "n", code=2).err


def test_a_violation_ends_with_one_at_both_doors(capsys: Out) -> None:
    given = ["--seeds", "0:40", "--delegates", "4", "--faults", "asymmetry,usurping", "--reference-port", "--json"]
    assert run("simulate", given) == 1
    assert Cli()("l1", "simulate", *given, code=1).out == capsys.readouterr().out


def test_without_the_packages_of_nodes(tmp_path: Path) -> None:
    code = "import sys; sys.modules['aiohttp'] = None\nfrom coordinator.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "l1", "keygen", "--out", str(tmp_path / "a.key")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("W3B-8003: module aiohttp")
    assert "pip install 'w3bstream[l1]'" in done.stderr
