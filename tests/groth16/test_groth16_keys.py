"""The key cache: one set-up however many ask, damage and foreign keys refused, the chain audited."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from pathlib import Path

import pytest

from native._native import Groth16Error, Groth16Key
from provers.zkp.keys import DEVELOPMENT_LABEL, INITIAL_KEY, LABEL, LOG, PROVING_KEY, KeyCache
from tests.groth16.oracle import HERE, Circuit
from verifier.errors import Refused, Unavailable

R1CS = (HERE / "small.r1cs").read_bytes()


def quiet(stage: str, fraction: float) -> None:
    """Progress that nobody reads."""


@pytest.fixture
def cache(tmp_path: Path) -> KeyCache:
    """A cache in a home of its own, with the small circuit's key in it."""
    cache = KeyCache(tmp_path / "home")
    cache.key(R1CS, quiet)
    return cache


def test_the_second_call_finds_the_first_key(cache: KeyCache) -> None:
    def never(stage: str, fraction: float) -> None:
        raise AssertionError(f"set-up ran again: {stage}")

    first, second = cache.key(R1CS, quiet), cache.key(R1CS, never)
    assert first.hash == second.hash
    assert first.label == DEVELOPMENT_LABEL
    assert first.contributions == 1


def test_files_are_private_and_the_log_is_readable(cache: KeyCache) -> None:
    folder = cache.folder(R1CS)
    for place in (folder, folder.parent, folder.parent.parent):
        assert place.stat().st_mode & 0o777 == 0o700
    assert {file.name for file in folder.iterdir()} == {PROVING_KEY, INITIAL_KEY, LOG, LABEL}
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in folder.iterdir())
    (entry,) = json.loads((folder / LOG).read_text())
    assert (entry["index"], entry["name"]) == (0, "this installation")
    assert entry["key_after"] == cache.key(R1CS, quiet).hash.hex()
    assert entry["key_before"] == Groth16Key.load(folder / INITIAL_KEY).hash.hex()


def test_progress_covers_both_phases(tmp_path: Path) -> None:
    stages: list[str] = []
    KeyCache(tmp_path).key(R1CS, lambda stage, _: stages.append(stage))
    assert set(stages) == {"set-up", "contribution"}


def _key_hash(home: Path, gate: multiprocessing.synchronize.Barrier, out: multiprocessing.Queue[bytes]) -> None:
    cache = KeyCache(home)
    gate.wait(60)
    out.put(cache.key(R1CS, quiet).hash)


def test_processes_that_race_get_one_key(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    gate, out = spawn.Barrier(4), spawn.Queue()
    racers = [spawn.Process(target=_key_hash, args=(tmp_path, gate, out)) for _ in range(4)]
    for racer in racers:
        racer.start()
    hashes = {out.get(timeout=60) for _ in racers}
    for racer in racers:
        racer.join(60)
    assert len(hashes) == 1


def test_a_set_up_that_died_is_done_again(tmp_path: Path) -> None:
    cache = KeyCache(tmp_path)

    def die(stage: str, _: float) -> None:
        raise RuntimeError(stage)

    with pytest.raises(RuntimeError):
        cache.key(R1CS, die)
    assert not cache.folder(R1CS).exists()
    assert cache.key(R1CS, quiet).contributions == 1


@pytest.mark.parametrize("at", [0, 9, 40, 1000, -40, -1])
def test_a_damaged_key_is_refused_and_kept(cache: KeyCache, at: int) -> None:
    path = cache.folder(R1CS) / PROVING_KEY
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(Refused, match="W3B-4006") as caught:
        cache.key(R1CS, quiet)
    assert str(path) in caught.value.message
    assert path.read_bytes() == data


def test_a_truncated_or_missing_key_is_refused(cache: KeyCache) -> None:
    path = cache.folder(R1CS) / PROVING_KEY
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(Refused, match="W3B-4006"):
        cache.key(R1CS, quiet)
    path.unlink()
    with pytest.raises(Refused, match="W3B-4006"):
        cache.key(R1CS, quiet)


def test_another_circuits_key_is_refused(cache: KeyCache) -> None:
    other = R1CS[:-1]
    shutil.copytree(cache.folder(R1CS), cache.folder(other))
    with pytest.raises(Refused, match=r"W3B-4006.*is the key of r1cs"):
        cache.key(other, quiet)


def test_a_key_without_contribution_is_refused(cache: KeyCache) -> None:
    folder = cache.folder(R1CS)
    shutil.copy(folder / INITIAL_KEY, folder / PROVING_KEY)
    with pytest.raises(Refused, match=r"W3B-4006.*no contribution"):
        cache.key(R1CS, quiet)


def test_a_file_that_is_no_circuit_is_refused(tmp_path: Path) -> None:
    cache = KeyCache(tmp_path)
    with pytest.raises(Refused, match="W3B-4002"):
        cache.key(b"not a circuit", quiet)
    assert not cache.folder(b"not a circuit").exists()


def test_a_home_that_cannot_be_written_is_reported(cache: KeyCache, tmp_path: Path) -> None:
    shutil.rmtree(cache.folder(R1CS).parent)
    with pytest.raises(Unavailable, match="W3B-4007"):
        cache.key(R1CS, quiet)


def test_the_audit_passes_and_refuses_a_foreign_initial_key(cache: KeyCache, circuit: Circuit) -> None:
    cache.audit(R1CS)
    circuit.initial.save(cache.folder(R1CS) / INITIAL_KEY)
    with pytest.raises(Refused, match=r"W3B-4006.*initial key"):
        cache.audit(R1CS)


def test_more_contributions_keep_the_audit(circuit: Circuit) -> None:
    key = circuit.key
    for name in ("second", "third"):
        key = key.contribute(name)
        key.verify_contributions(circuit.initial)
    assert [entry["name"] for entry in json.loads(key.log_json())] == ["first", "second", "third"]
    with pytest.raises(Groth16Error, match="already has contributions"):
        key.verify_contributions(circuit.key)
    with pytest.raises(Groth16Error, match="initial key"):
        key.verify_contributions(Groth16Key.setup(R1CS))


def test_a_log_of_another_key_is_refused(circuit: Circuit, tmp_path: Path) -> None:
    """Two contributions to one key, the logs exchanged and the checksum made right: the chain must notice."""
    import hashlib

    left, right = circuit.initial.contribute("alice"), circuit.initial.contribute("carol")
    for key, name in ((left, "left"), (right, "right")):
        key.save(tmp_path / name)
    files = [(tmp_path / name).read_bytes() for name in ("left", "right")]

    def split(data: bytes) -> tuple[bytes, bytes]:
        at = 12
        for _ in range(2):
            at += 4 + int.from_bytes(data[at : at + 4], "little")
        return data[: at + 8], data[at + 8 : -32]

    (head, _), (_, body) = split(files[0]), split(files[1])
    checksum = hashlib.sha256(head + hashlib.sha256(body).digest()).digest()
    (tmp_path / "mixed").write_bytes(head + body + checksum)
    with pytest.raises(Groth16Error) as caught:
        Groth16Key.load(tmp_path / "mixed")
    assert caught.value.args[0] == "chain"
