"""`python -m l1 keygen`, `genesis`, `node`: what they make, and what they say when they cannot."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from l1.__main__ import main
from l1.chain.genesis import load_genesis
from l1.nodes.assembly import SeparateNode, SeparateSettings
from l1.nodes.delegate import Delegate
from l1.nodes.keys import KeysError, derive, load_keys, node_secret, save_keys
from l1.nodes.wal import NAME
from l1.staking.contract import STAKING_ADDRESS
from l1.staking.parameters import IOTX

Out = pytest.CaptureFixture[str]


def keygen(folder: Path, name: str, capsys: Out) -> Path:
    assert main(["keygen", "--out", str(folder / f"{name}.key")]) == 0
    path = folder / f"{name}.json"
    path.write_text(capsys.readouterr().out)
    return path


def failed(arguments: list[str], capsys: Out) -> str:
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    return told.err


def test_from_keys_to_a_genesis(tmp_path: Path, capsys: Out) -> None:
    registrations = [keygen(tmp_path, name, capsys) for name in ("a", "b", "c", "d")]
    keys = load_keys(tmp_path / "a.key")
    assert (tmp_path / "a.key").stat().st_mode & 0o777 == 0o600
    document = json.loads(registrations[0].read_text())
    assert document["address"] == "0x" + keys.address.hex()
    assert document["blsKey"] == "0x" + keys.voting.public_key().to_bytes().hex()
    fund = "0x" + "11" * 20 + "=1000"
    out = tmp_path / "genesis.json"
    arguments = ["genesis", "--delegates", *map(str, registrations), "--fund", fund, "--out", str(out)]
    assert main(arguments) == 0
    told = json.loads(capsys.readouterr().out)
    genesis = load_genesis(out)
    assert genesis.delegates[0].address == keys.address
    assert genesis.alloc[b"\x11" * 20].balance == 1000
    assert told == {"genesis_hash": "0x" + genesis.executor()[1].hash.hex(), "chain_id": 4690, "delegates": 4}
    assert "there already" in failed(arguments, capsys)


def test_a_genesis_says_the_rules_of_its_chain(tmp_path: Path, capsys: Out) -> None:
    one = keygen(tmp_path, "a", capsys)
    timed = ["genesis", "--delegates", str(one), "--interval", "1", "--idle", "0.5", "--blocks-per-epoch", "60"]
    assert main([*timed, "--operator-iotx", "7", "--out", str(tmp_path / "elected.json")]) == 0
    assert main([*timed, "--without-staking", "--out", str(tmp_path / "fixed.json")]) == 0
    elected, fixed = (load_genesis(tmp_path / f"{name}.json") for name in ("elected", "fixed"))
    capsys.readouterr()
    for each in (elected, fixed):
        assert each.consensus is not None
        assert (each.consensus.interval, each.consensus.idle, each.consensus.blocks_per_epoch) == (1_000, 500, 60)
    assert elected.consensus is not None
    assert fixed.consensus is not None
    assert elected.consensus.staking is not None
    assert fixed.consensus.staking is None
    assert elected.alloc[elected.delegates[0].address].balance == 7 * IOTX
    assert elected.alloc[STAKING_ADDRESS].code
    assert not fixed.alloc
    assert "--blocks-per-epoch" in failed(
        ["genesis", "--delegates", str(one), "--blocks-per-epoch", "2", "--out", str(tmp_path / "no")], capsys
    )
    poor = json.loads(one.read_text()) | {"power": hex(399_999 * IOTX)}
    (tmp_path / "poor.json").write_text(json.dumps(poor))
    told = failed(["genesis", "--delegates", str(tmp_path / "poor.json"), "--out", str(tmp_path / "no")], capsys)
    assert poor["address"][2:] in told


def test_keys_are_never_overwritten(tmp_path: Path, capsys: Out) -> None:
    keygen(tmp_path, "a", capsys)
    before = (tmp_path / "a.key").read_bytes()
    assert "not overwritten" in failed(["keygen", "--out", str(tmp_path / "a.key")], capsys)
    assert (tmp_path / "a.key").read_bytes() == before
    assert "--power" in failed(["keygen", "--out", str(tmp_path / "b.key"), "--power", "0"], capsys)


def test_a_genesis_that_cannot_be_made(tmp_path: Path, capsys: Out) -> None:
    one = keygen(tmp_path, "a", capsys)
    out = str(tmp_path / "genesis.json")
    assert "twice" in failed(["genesis", "--delegates", str(one), str(one), "--out", out], capsys)
    assert "keygen" in failed(["genesis", "--delegates", str(tmp_path / "absent.json"), "--out", out], capsys)
    assert "ADDRESS=WEI" in failed(["genesis", "--delegates", str(one), "--fund", "x", "--out", out], capsys)
    other = json.loads(keygen(tmp_path, "b", capsys).read_text())
    rogue = json.loads(one.read_text()) | {"blsKey": other["blsKey"]}
    (tmp_path / "rogue.json").write_text(json.dumps(rogue))
    assert "registration" in failed(["genesis", "--delegates", str(tmp_path / "rogue.json"), "--out", out], capsys)
    assert not Path(out).exists()
    assert main(["genesis", "--delegates", str(one), "--out", out]) == 0
    capsys.readouterr()
    more = ["genesis", "--delegates", str(one), "--base", out, "--out", out + "2"]
    assert "names delegates already" in failed(more, capsys)


def ready(tmp_path: Path, capsys: Out) -> list[str]:
    """Arguments of a node that could start, on a chain whose delegate never changes."""
    one = keygen(tmp_path, "a", capsys)
    genesis = str(tmp_path / "genesis.json")
    arguments = ["--delegates", str(one), "--without-staking", "--interval", "0.05", "--out", genesis]
    assert main(["genesis", *arguments]) == 0
    capsys.readouterr()
    return ["node", "--data-dir", str(tmp_path / "node"), "--genesis", genesis]


def test_a_node_that_cannot_start(tmp_path: Path, capsys: Out) -> None:
    node = ready(tmp_path, capsys)
    keygen(tmp_path, "b", capsys)
    assert "does not name" in failed([*node, "--key", str(tmp_path / "b.key")], capsys)
    assert "keygen" in failed([*node, "--key", str(tmp_path / "absent.key")], capsys)
    assert "--help" in failed([*node, "--peer", "nowhere"], capsys)
    assert "--help" in failed([*node, "--interval", "0"], capsys)
    assert "--genesis" in failed(["node", "--data-dir", str(tmp_path / "fresh")], capsys)
    (tmp_path / "a.key").chmod(0o644)
    assert "chmod 600" in failed([*node, "--key", str(tmp_path / "a.key")], capsys)
    plain = tmp_path / "plain.json"
    plain.write_text("{}")
    told = failed(["node", "--data-dir", str(tmp_path / "other"), "--genesis", str(plain)], capsys)
    assert "names no delegates" in told


def test_a_voting_key_that_was_not_registered(tmp_path: Path, capsys: Out) -> None:
    node = ready(tmp_path, capsys)
    keygen(tmp_path, "b", capsys)
    mixed = json.loads((tmp_path / "a.key").read_text()) | {
        "voting": json.loads((tmp_path / "b.key").read_text())["voting"]
    }
    (tmp_path / "b.key").write_text(json.dumps(mixed))
    assert "another voting key" in failed([*node, "--key", str(tmp_path / "b.key")], capsys)


def test_to_vote_from_a_height_needs_a_new_log(tmp_path: Path, capsys: Out) -> None:
    node = ready(tmp_path, capsys)
    (tmp_path / "node").mkdir()
    (tmp_path / "node" / NAME).write_bytes(b"a log")
    told = failed([*node, "--key", str(tmp_path / "a.key"), "--vote-from", "3"], capsys)
    assert "leave the option out" in told
    assert "is damaged" in failed([*node, "--key", str(tmp_path / "a.key")], capsys)
    assert (tmp_path / "node" / NAME).read_bytes() == b"a log"


@pytest.mark.parametrize(
    "document",
    [
        "nonsense",
        "[]",
        '{"version": 2, "operator": "0x01", "voting": "0x01"}',
        '{"version": 1, "operator": "0x01", "voting": "0x01"}',
        '{"version": 1, "operator": "zz", "voting": "0x01"}',
        json.dumps({"version": 1, "operator": "0x" + "00" * 32, "voting": "0x" + "01" * 32}),
        json.dumps({"version": 1, "operator": "0x" + "01" * 32, "voting": "0x" + "ff" * 32}),
        json.dumps({"version": 1, "operator": "0x" + "01" * 32, "voting": "0x" + "01" * 32, "more": 1}),
    ],
)
def test_a_key_file_that_is_none(document: str, tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    path.write_text(document)
    path.chmod(0o600)
    with pytest.raises(KeysError, match="key file"):
        load_keys(path)


def test_keys_come_back(tmp_path: Path) -> None:
    (keys,) = derive(b"keys that are written and read..", 1)
    save_keys(keys, tmp_path / "a.key")
    again = load_keys(tmp_path / "a.key")
    assert again.operator == keys.operator
    assert again.voting.to_bytes() == keys.voting.to_bytes()


def test_a_node_key_is_made_once(tmp_path: Path) -> None:
    secret = node_secret(tmp_path)
    assert node_secret(tmp_path) == secret
    assert (tmp_path / "node.key").stat().st_mode & 0o777 == 0o600
    (tmp_path / "node.key").write_text("none")
    with pytest.raises(KeysError, match="no node key"):
        node_secret(tmp_path)


@pytest.mark.parametrize("command", ["keygen", "genesis", "node"])
def test_help_teaches(command: str, capsys: Out) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert "example" in capsys.readouterr().out


def test_a_lone_delegate_decides_by_itself(tmp_path: Path, capsys: Out) -> None:
    """One delegate is its own quorum, and waits for no peer."""
    ready(tmp_path, capsys)

    async def decide() -> tuple[int, Any]:
        settings = SeparateSettings(
            data_dir=tmp_path / "node",
            genesis=load_genesis(tmp_path / "genesis.json"),
            keys=load_keys(tmp_path / "a.key"),
        )
        async with SeparateNode(settings) as node:
            async with asyncio.timeout(60):
                while node.chain.head_number < 2:
                    await asyncio.sleep(0.02)
            return node.chain.head_number, node.delegate

    head, delegate = asyncio.run(decide())
    assert head >= 2
    assert isinstance(delegate, Delegate)
