"""The dispatcher's parts by themselves: identities, the program index, what a worker may return and refuse."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from dispatch_provers import ARTIFACT, HashProver
from dispatch_world import DOMAIN, KEY
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from coordinator.dispatch.dispatcher import limits_of, worker_specs
from coordinator.dispatch.identity import load_identity
from coordinator.dispatch.pool import WorkerSpec
from coordinator.dispatch.ray_runtime import SOURCE_ROOT, resource_name, worker_environment, write_token
from coordinator.dispatch.results import check_proof, clean_seconds
from coordinator.settings import Settings
from provers.programs_index import find_program, installed_programs, read_programs
from provers.protocol import Program, Proof, ProvingTask
from provers.worker import Outcome, ProverWorker, Work, load_prover
from verifier.commitment import POSEIDON_BN254_V1
from verifier.completeness import Completeness
from verifier.errors import InvalidInput, NotFound, Refused, W3bstreamError
from verifier.statement import Opening, program_id, task_id


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program("p", "test.hash", tmp_path)


@pytest.fixture
def proving_task(program: Program) -> ProvingTask:
    readings = (KEY.sign(1, 1, 1, b"\x00\x00\x00\x14"), KEY.sign(1, 2, 2, b"\x00\x00\x00\x16"))
    devices = (KEY.registration(),)
    opening = Opening(
        POSEIDON_BN254_V1.readings_root(readings, 2),
        POSEIDON_BN254_V1.device_set_root(devices),
        1,
        3,
        2,
        Completeness(),
    )
    prepared = HashProver().prepare(program, lambda stage, done: None)
    return ProvingTask(DOMAIN, 1, 1, task_id(1, 1, 1, 3), opening, prepared.program_id, b"\x44" * 20, readings, devices)


def test_a_key_is_made_once_and_is_for_its_owner_only(tmp_path: Path) -> None:
    first = load_identity(tmp_path, "zkp.groth16-0")
    assert load_identity(tmp_path, "zkp.groth16-0") == first
    assert load_identity(tmp_path, "zkp.groth16-1").address != first.address
    assert stat.S_IMODE(first.key_file.stat().st_mode) == 0o600
    key = json.loads(first.key_file.read_text())["private_key"]
    assert Account.from_key(key).address.lower() == first.address
    assert key[2:] not in repr(first)
    assert [path.name for path in first.key_file.parent.iterdir() if path.name.startswith(".")] == []


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    identity = load_identity(tmp_path, "a")
    identity.key_file.chmod(0o644)
    with pytest.raises(InvalidInput, match="mode to 600"):
        load_identity(tmp_path, "a")


def test_a_key_file_without_a_key_is_refused(tmp_path: Path) -> None:
    identity = load_identity(tmp_path, "a")
    for text in ("", "{}", '{"private_key": "0x00"}', "[1]"):
        identity.key_file.write_text(text)
        with pytest.raises(InvalidInput, match="W3B-4083"):
            load_identity(tmp_path, "a")


@pytest.mark.parametrize("name", ["", "../a", "a/b", "A", ".a", "a" * 65, "a\n"])
def test_an_id_that_could_leave_the_key_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="W3B-3007"):
        load_identity(tmp_path, name)


def test_the_token_is_written_once_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "ray" / "auth_token"
    write_token(path)
    first = path.read_text()
    write_token(path)
    assert path.read_text() == first
    assert len(bytes.fromhex(first)) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_importing_the_pool_does_not_import_ray() -> None:
    """Ray reads its loopback settings at import: it must come in only after they are made."""
    code = "import sys, coordinator.dispatch.ray_pool, coordinator.dispatch.dispatcher; sys.exit('ray' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(SOURCE_ROOT)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0


def test_ray_imported_before_its_settings_is_refused(tmp_path: Path) -> None:
    code = (
        "import sys, types; sys.modules['ray'] = types.ModuleType('ray')\n"
        "from pathlib import Path\n"
        "from coordinator.dispatch.ray_runtime import prepare_environment\n"
        "prepare_environment(Path(sys.argv[1]), local=True)"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment["PYTHONPATH"] = str(SOURCE_ROOT)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "W3B-8002" in done.stderr


def test_resource_names() -> None:
    assert resource_name("zkp.groth16") == "prover_zkp_groth16"


def test_the_installed_programs_are_found_with_their_kind() -> None:
    programs = installed_programs()
    assert programs["temperature_window"].kind == "zkp.groth16"
    assert (programs["temperature_window"].folder / "program.toml").is_file()


@pytest.mark.parametrize("manifest", ["", "kind = 3", "kind = ''", "kind ="])
def test_a_manifest_without_a_kind_is_refused(tmp_path: Path, manifest: str) -> None:
    (tmp_path / "program.toml").write_text(manifest)
    with pytest.raises(InvalidInput, match="W3B-2005"):
        read_programs(tmp_path)


def test_a_program_is_found_by_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, kind in (("a", "test.other"), ("b", "test.hash")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "program.toml").write_text(f'kind = "{kind}"')
    monkeypatch.setattr("provers.programs_index.prover_for", lambda kind: HashProver())
    wanted = program_id("test.hash", ARTIFACT)
    assert find_program("test.hash", wanted, tmp_path).program.name == "b"
    with pytest.raises(NotFound, match="W3B-2005"):
        find_program("test.hash", bytes(32), tmp_path)


def test_workers_are_named_by_kind_and_share_the_cores(tmp_path: Path) -> None:
    programs = {name: Program(name, kind, tmp_path) for name, kind in (("a", "k.one"), ("b", "k.two"), ("c", "k.none"))}
    settings = Settings(home=tmp_path, provers=2, prover_threads=3, prover_table_mib=7)
    specs = worker_specs(settings, programs, frozenset({"k.one", "k.two", "k.idle"}), {"k.one": "m:C"})
    assert [spec.id for spec in specs] == ["k.one-0", "k.one-1", "k.two-0", "k.two-1"]
    assert [spec.entry for spec in specs] == ["m:C", "m:C", "", ""]
    assert {(spec.threads, spec.table_mib) for spec in specs} == {(3, 7)}
    told = {
        "RAYON_NUM_THREADS": "3",
        "OMP_NUM_THREADS": "3",
        "W3BSTREAM_WORKER_TABLE_MIB": "7",
    }
    assert worker_environment(tmp_path, specs[0], local=False) == told
    assert worker_environment(tmp_path, specs[0], local=True).items() >= told.items()
    assert limits_of(Settings(home=tmp_path, lease_seconds=1.5)).lease_ms == 1500


@pytest.mark.parametrize("local", [True, False])
def test_workers_are_told_of_the_key_broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local: bool) -> None:
    monkeypatch.delenv("W3BSTREAM_BROKER_URL", raising=False)
    spec = WorkerSpec("tee.sgx-0", "tee.sgx", ())
    assert "W3BSTREAM_BROKER_URL" not in worker_environment(tmp_path, spec, local=local)
    monkeypatch.setenv("W3BSTREAM_BROKER_URL", "https://broker.example:7001")
    assert worker_environment(tmp_path, spec, local=local)["W3BSTREAM_BROKER_URL"] == "https://broker.example:7001"


@pytest.mark.parametrize(
    ("kind", "entry"),
    [
        ("test.other", "dispatch_provers:HashProver"),
        ("k", "no_such_module:X"),
        ("k", "dispatch_provers:Nothing"),
        ("k", ""),
    ],
)
def test_a_prover_that_is_not_there_is_named(kind: str, entry: str) -> None:
    with pytest.raises(NotFound, match="W3B-4001"):
        load_prover(kind, entry)


def test_a_worker_proves_one_after_the_other_and_reports(program: Program, proving_task: ProvingTask) -> None:
    worker = ProverWorker("w", "test.hash", "dispatch_provers:HashProver")
    (early,) = worker.prove([Work(1, 1, proving_task)])
    assert isinstance(early.result, W3bstreamError)
    prepared = worker.prepare((program,))
    assert not isinstance(prepared, W3bstreamError)
    assert [each.trust for each in prepared] == ["test only"]
    (program.folder / "behaviour").write_text("once:hang")
    outcomes: list[Outcome] = []
    first = threading.Thread(target=lambda: worker.prove([Work(7, 3, proving_task)], outcomes.append))
    first.start()
    while worker.ping().stage != "prove":
        first.join(0.01)
    assert (worker.ping().attempt_id, worker.ping().fence, worker.ping().progress) == (7, 3, 0.5)
    unknown = replace(proving_task, program_id=b"\x00" * 32)
    works = [Work(8, 1, proving_task), Work(9, 5, unknown), Work(10, 2, proving_task)]
    second = threading.Thread(target=lambda: worker.prove(works, outcomes.append))
    second.start()
    second.join(0.1)
    assert outcomes == [], "the second call waits for the first"
    (program.folder / "go").touch()
    first.join(10)
    second.join(10)
    assert [(each.attempt_id, each.fence) for each in outcomes] == [(7, 3), (8, 1), (9, 5), (10, 2)]
    assert [isinstance(each.result, Proof) for each in outcomes] == [True, True, False, True]
    assert getattr(outcomes[2].result, "code", "") == "W3B-2005", "one error leaves the others alone"
    assert all(each.seconds > 0 for each in outcomes)
    assert worker.ping().attempt_id is None


@pytest.fixture
def good(program: Program, proving_task: ProvingTask) -> Proof:
    prover = HashProver()
    return prover.prove(prover.prepare(program, lambda s, d: None), proving_task, lambda s, d: None)


def check(program: Program, task: ProvingTask, proof: object) -> None:
    prover = HashProver()
    check_proof(prover, prover.prepare(program, lambda s, d: None), task, proof)  # type: ignore[arg-type]


def test_a_good_proof_passes(program: Program, proving_task: ProvingTask, good: Proof) -> None:
    check(program, proving_task, good)


@pytest.mark.parametrize("bit", range(0, 256, 7))
def test_a_proof_with_a_flipped_bit_is_refused(
    program: Program, proving_task: ProvingTask, good: Proof, bit: int
) -> None:
    flipped = bytearray(good.proof)
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Refused, match="W3B-4081"):
        check(program, proving_task, replace(good, proof=bytes(flipped)))


def test_what_is_no_proof_of_the_task_is_refused(program: Program, proving_task: ProvingTask, good: Proof) -> None:
    statement = good.statement
    wrong: list[object] = [
        None,
        b"",
        replace(good, proof=b""),
        replace(good, proof=good.proof[:-1]),
        replace(good, proof=bytes((1 << 20) + 1)),
        replace(good, proof=good.proof.hex()),  # type: ignore[arg-type]
        replace(good, public_output=b""),
        replace(good, public_output=good.public_output[:-1]),
        replace(good, public_output=good.public_output + bytes(32)),
        replace(good, public_output=bytes(17 * 32)),
        replace(good, statement=replace(statement, prover=b"\x55" * 20)),
        replace(good, statement=replace(statement, project_version=2)),
        replace(good, statement=replace(statement, task_id=bytes(32))),
        replace(good, statement=replace(statement, inputs=bytes(32))),
        replace(good, statement=replace(statement, program_id=bytes(32))),
        replace(good, statement=replace(statement, output=bytes(32))),
    ]
    for proof in wrong:
        with pytest.raises(Refused, match="W3B-4081"):
            check(program, proving_task, proof)


def test_a_proof_for_another_task_or_chain_is_refused(program: Program, proving_task: ProvingTask, good: Proof) -> None:
    for other in (
        replace(proving_task, task_id=task_id(1, 1, 3, 5)),
        replace(proving_task, prover=b"\x45" * 20),
        replace(proving_task, domain=replace(DOMAIN, chain_id=1)),
        replace(proving_task, domain=replace(DOMAIN, router=bytes(20))),
    ):
        with pytest.raises(Refused, match="W3B-4081"):
            check(program, other, good)


def test_a_verifier_that_stumbles_has_not_accepted(
    program: Program, proving_task: ProvingTask, good: Proof, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: object) -> None:
        raise IndexError("out of range")

    monkeypatch.setattr(HashProver, "verify", stumble)
    with pytest.raises(Refused, match="IndexError"):
        check(program, proving_task, good)


@given(st.dictionaries(st.text(), st.one_of(st.floats(), st.integers(-5, 5), st.text(), st.none())) | st.text())
def test_reported_times_are_finite_numbers_or_dropped(seconds: object) -> None:
    cleaned = clean_seconds(seconds)
    assert len(cleaned) <= 32
    assert json.loads(json.dumps(cleaned, allow_nan=False)) == cleaned
