"""The first prover on the sample program: signed readings to an accepted proof; every forgery refused with its code."""

from __future__ import annotations

import dataclasses
import random
import shutil
from pathlib import Path

import pytest
from eth_abi.abi import decode, encode
from eth_hash.auto import keccak
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provers.programs import PROGRAMS, CircuitInputs
from provers.programs.temperature_window import OUTPUTS, circuit_inputs, compute, public_output
from provers.protocol import Prepared, Program, Proof, Prover, ProvingTask, prover_for
from provers.zkp.circom import CircomProver
from provers.zkp.keys import DEVELOPMENT_LABEL
from tests.e2e.installation import set_up_keys, with_keys
from tests.groth16.window import DOMAIN, PROJECT, PROVER, VERSION, window_task
from verifier.commitment import readings_root
from verifier.errors import InvalidInput, Refused, W3bstreamError
from verifier.field import R
from verifier.groth16 import Groth16Proof, verify_groth16
from verifier.statement import OPENING_TYPES, Domain, Statement, task_id

VALUES = [215, -40, 2**31 - 1, -(2**31), 0, 7]
STATED = (2, 1, 3)
"""Duplicates, late and reordered readings of the sample task."""
TYPES = [field.split()[0] for field in OUTPUTS]
OUTPUT = (6, 215 - 40 - 1 + 0 + 7, -(2**31), 2**31 - 1, 3 * 14, *STATED)
"""Each of three devices skips 14 numbers between its two readings."""
PROGRAM = Program("temperature_window", "zkp.groth16", PROGRAMS / "temperature_window")


def quiet(stage: str, fraction: float) -> None:
    """Progress that nobody reads."""


@pytest.fixture(scope="session")
def prover(tmp_path_factory: pytest.TempPathFactory) -> CircomProver:
    """A prover with a home of its own, the keys of this test run, and tables as in service."""
    keys = set_up_keys(tmp_path_factory.getbasetemp())
    return CircomProver(with_keys(tmp_path_factory.mktemp("groth16") / "home", keys), table_mib=96)


@pytest.fixture(scope="session")
def prepared(prover: CircomProver) -> Prepared:
    """The sample program, set up once for all tests."""
    return prover.prepare(PROGRAM, quiet)


@pytest.fixture(scope="session")
def task(prepared: Prepared) -> ProvingTask:
    """Six readings of three devices."""
    return window_task(prepared, VALUES, step=5, stated=STATED)


@pytest.fixture(scope="session")
def proof(prover: CircomProver, prepared: Prepared, task: ProvingTask) -> Proof:
    """The honest proof of `task`."""
    return prover.prove(prepared, task, quiet)


def refused(prover: CircomProver, prepared: Prepared, task: ProvingTask, honest: Proof, **changed: object) -> str:
    """The code with which the changed proof is refused."""
    forged = dataclasses.replace(honest, **changed)  # type: ignore[arg-type]
    with pytest.raises(Refused) as caught:
        prover.verify(prepared, task, forged.statement, forged.public_output, forged.proof)
    return caught.value.code


def test_an_honest_proof_is_accepted(prover: CircomProver, prepared: Prepared, task: ProvingTask, proof: Proof) -> None:
    prover.verify(prepared, task, proof.statement, proof.public_output, proof.proof)
    assert decode(TYPES, proof.public_output) == OUTPUT
    assert proof.statement == task.statement(keccak(proof.public_output))
    assert len(proof.proof) == 544
    assert set(proof.seconds) == {"witness", "prove", "check"}


def test_the_proof_is_the_abi_encoding(task: ProvingTask, proof: Proof) -> None:
    types = ["uint256[2]", "uint256[2][2]", "uint256[2]", *OPENING_TYPES]
    values = decode(types, proof.proof)
    assert encode(types, values) == proof.proof
    assert list(values[3:]) == task.opening.words()


def test_the_verifying_key_is_the_abi_encoding(prepared: Prepared) -> None:
    g2 = "uint256[2][2]"
    types = ["uint256[2]", g2, g2, g2, "uint256[2][]"]
    values = decode(types, prepared.verifying_key)
    assert encode(types, values) == prepared.verifying_key
    assert len(values[4]) == 17


def test_it_is_a_prover_and_registered(prover: CircomProver, prepared: Prepared) -> None:
    assert isinstance(prover, Prover)
    assert (prepared.trust, prepared.program) == (DEVELOPMENT_LABEL, PROGRAM)


def test_a_second_prover_finds_the_key(prover: CircomProver, prepared: Prepared) -> None:
    stages: list[str] = []
    again = CircomProver(prover._home).prepare(PROGRAM, lambda stage, _: stages.append(stage))
    assert again.program_id == prepared.program_id
    assert "set-up" not in stages


@pytest.mark.parametrize(("mebibytes", "lists"), [(96, 5), (1, 0)])
def test_tables_make_proofs_of_the_same_key(
    prover: CircomProver, prepared: Prepared, task: ProvingTask, mebibytes: int, lists: int
) -> None:
    """Stored multiples give proofs that hold under the key without; memory that does not suffice for them is no
    error."""
    fast = CircomProver(prover._home, table_mib=mebibytes)
    own = fast.prepare(PROGRAM, quiet)
    assert (own.program_id, len(own.state.key.tables)) == (prepared.program_id, lists)
    made = fast.prove(own, task, quiet)
    prover.verify(prepared, task, made.statement, made.public_output, made.proof)


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=16), start=st.integers(1, 2**63))
def test_any_window_proves(prover: CircomProver, prepared: Prepared, values: list[int], start: int) -> None:
    task = window_task(prepared, values, start=start)
    made = prover.prove(prepared, task, quiet)
    prover.verify(prepared, task, made.statement, made.public_output, made.proof)
    own, completeness = decode(TYPES, made.public_output)[:4], decode(TYPES, made.public_output)[4:]
    assert own == (len(values), sum(values), min(values), max(values))
    assert completeness == task.opening.completeness.words() == (2 * max(len(values) - 3, 0), 0, 0, 0)


def test_a_proof_of_another_window_is_refused(
    prover: CircomProver, prepared: Prepared, task: ProvingTask, proof: Proof
) -> None:
    """Replay: an accepted proof under the statement of another task, in every combination."""
    other = window_task(prepared, VALUES, start=200, step=5, stated=STATED)
    with pytest.raises(Refused, match="W3B-4012"):
        prover.verify(prepared, other, proof.statement, proof.public_output, proof.proof)
    moved = other.statement(proof.statement.output)
    with pytest.raises(Refused, match="W3B-4011"):
        prover.verify(prepared, other, moved, proof.public_output, proof.proof)
    reopened = Groth16Proof(proof.proof[:256], other.opening).encode()
    with pytest.raises(Refused, match="W3B-4014"):
        prover.verify(prepared, other, moved, proof.public_output, reopened)


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("project_id", PROJECT + 1, "W3B-4012"),
        ("project_version", VERSION + 1, "W3B-4012"),
        ("task_id", bytes(32), "W3B-4012"),
        ("program_id", bytes(32), "W3B-4012"),
        ("prover", bytes(20), "W3B-4012"),
        ("inputs", bytes(32), "W3B-4011"),
        ("output", bytes(32), "W3B-4013"),
    ],
)
def test_a_changed_statement_is_refused(
    prover: CircomProver, prepared: Prepared, task: ProvingTask, proof: Proof, name: str, value: object, code: str
) -> None:
    changed = dataclasses.replace(proof.statement, **{name: value})  # type: ignore[arg-type]
    assert refused(prover, prepared, task, proof, statement=changed) == code


@pytest.mark.parametrize(
    ("name", "value"), [("project_version", VERSION + 1), ("prover", bytes(20)), ("project_id", PROJECT + 1)]
)
def test_the_proof_itself_binds_the_statement(
    prepared: Prepared, task: ProvingTask, proof: Proof, name: str, value: object
) -> None:
    """Without the task to compare with: the digest among the signals refuses a Statement that was re-labelled."""
    changed = dataclasses.replace(proof.statement, **{name: value})  # type: ignore[arg-type]
    opening = task.opening
    fresh = task_id(changed.project_id, changed.project_version, opening.window_start, opening.window_end)
    changed = dataclasses.replace(changed, task_id=fresh)
    with pytest.raises(Refused, match="W3B-4014"):
        verify_groth16(prepared.verifying_key, DOMAIN, changed, proof.public_output, proof.proof)


@pytest.mark.parametrize("domain", [Domain(4689, DOMAIN.router), Domain(4690, bytes(20))])
def test_another_chain_or_router_refuses(prepared: Prepared, proof: Proof, domain: Domain) -> None:
    with pytest.raises(Refused, match="W3B-4014"):
        verify_groth16(prepared.verifying_key, domain, proof.statement, proof.public_output, proof.proof)


def _restated(statement: Statement, output: bytes) -> Statement:
    return dataclasses.replace(statement, output=keccak(output))


@pytest.mark.parametrize(
    ("output", "code"),
    [
        (encode(TYPES, (6, 182, *OUTPUT[2:])), "W3B-4014"),
        *((encode(TYPES, (*OUTPUT[:at], OUTPUT[at] + 1, *OUTPUT[at + 1 :])), "W3B-4013") for at in range(4, 8)),
        (b"", "W3B-4020"),
        (b"\x7f" * 256, "W3B-4020"),
        (bytes(32) + encode(TYPES, OUTPUT), "W3B-4010"),
        (encode(TYPES, OUTPUT)[-128:], "W3B-4010"),
        (bytes(255), "W3B-4020"),
    ],
)
def test_another_output_is_refused(
    prover: CircomProver, prepared: Prepared, task: ProvingTask, proof: Proof, output: bytes, code: str
) -> None:
    assert refused(prover, prepared, task, proof, public_output=output) == "W3B-4013"
    forged = {"public_output": output, "statement": _restated(proof.statement, output)}
    assert refused(prover, prepared, task, proof, **forged) == code


def test_flipped_bits_are_refused(prover: CircomProver, prepared: Prepared, task: ProvingTask, proof: Proof) -> None:
    seeded = random.Random(11)
    places = [(at, seeded.randrange(8)) for at in (*range(256, 544), *seeded.sample(range(256), 60))]
    for at, bit in places:
        forged = proof.proof[:at] + bytes([proof.proof[at] ^ 1 << bit]) + proof.proof[at + 1 :]
        code = refused(prover, prepared, task, proof, proof=forged)
        assert code in {"W3B-4010", "W3B-4011", "W3B-4014"}, (at, bit)


def test_wrong_lengths_are_refused(prover: CircomProver, prepared: Prepared, task: ProvingTask, proof: Proof) -> None:
    for forged in (b"", proof.proof[:-1], proof.proof + b"\0", proof.proof[:256], proof.proof + bytes(32)):
        assert refused(prover, prepared, task, proof, proof=forged) == "W3B-4010"


@pytest.mark.parametrize(
    ("word", "value"),
    [(8, R), (9, R), (10, 1 << 64), (11, 1 << 255), (12, 1 << 32), (13, 1 << 64), (14, 1 << 32), (16, 1 << 255)],
)
def test_words_that_are_not_canonical_are_refused(
    prover: CircomProver, prepared: Prepared, task: ProvingTask, proof: Proof, word: int, value: int
) -> None:
    moved = (int.from_bytes(proof.proof[word * 32 : word * 32 + 32], "big") + value) % (1 << 256)
    forged = proof.proof[: word * 32] + moved.to_bytes(32, "big") + proof.proof[word * 32 + 32 :]
    assert refused(prover, prepared, task, proof, proof=forged) == "W3B-4010"


def test_points_that_are_no_points_are_refused(
    prover: CircomProver, prepared: Prepared, task: ProvingTask, proof: Proof
) -> None:
    data = proof.proof
    for forged in (bytes(64) + data[64:], data[:64] + bytes(128) + data[192:], data[:192] + bytes(64) + data[256:]):
        assert refused(prover, prepared, task, proof, proof=forged) == "W3B-4010"
    swapped = data[192:256] + data[64:192] + data[:64] + data[256:]
    assert refused(prover, prepared, task, proof, proof=swapped) == "W3B-4014"


def test_another_key_is_refused(prepared: Prepared, proof: Proof, task: ProvingTask) -> None:
    later = prepared.state.key.contribute("second").verifying_key_abi()
    with pytest.raises(Refused, match="W3B-4012"):
        verify_groth16(later, DOMAIN, proof.statement, proof.public_output, proof.proof)


def test_a_task_for_another_program_is_refused(prover: CircomProver, prepared: Prepared, task: ProvingTask) -> None:
    with pytest.raises(Refused, match="W3B-4012"):
        prover.prove(prepared, dataclasses.replace(task, program_id=bytes(32)), quiet)


def test_a_forged_signature_cannot_be_proven(prover: CircomProver, prepared: Prepared, task: ProvingTask) -> None:
    """The first reading with a payload that its device never signed, everything else recomputed to match."""
    first, *rest = task.readings
    forged = (dataclasses.replace(first, payload=b"\0\0\0\1"), *rest)
    opening = dataclasses.replace(task.opening, readings_root=readings_root(forged, 16))
    with pytest.raises(Refused, match=r"W3B-4004.*line"):
        prover.prove(prepared, dataclasses.replace(task, readings=forged, opening=opening), quiet)


def test_readings_of_another_opening_are_refused(prover: CircomProver, prepared: Prepared, task: ProvingTask) -> None:
    opening = dataclasses.replace(task.opening, readings_root=bytes(32))
    with pytest.raises(W3bstreamError, match="W3B-4021"):
        prover.prove(prepared, dataclasses.replace(task, opening=opening), quiet)


@pytest.mark.parametrize(
    "change",
    [{"missing": 41}, {"missing": 43}, {"missing": 0}, {"duplicates": 1}, {"late": 0}, {"reordered": 2}],
    ids=str,
)
def test_a_proof_serves_no_other_completeness(
    prepared: Prepared, task: ProvingTask, proof: Proof, change: dict[str, int]
) -> None:
    """The same window recorded with other counts: everything around the three points is made to fit."""
    opening = dataclasses.replace(task.opening, completeness=dataclasses.replace(task.opening.completeness, **change))
    output = proof.public_output[:-128] + opening.completeness.encode()
    statement = dataclasses.replace(proof.statement, inputs=opening.commitment(), output=keccak(output))
    forged = Groth16Proof(proof.proof[:256], opening).encode()
    with pytest.raises(Refused, match="W3B-4014"):
        verify_groth16(prepared.verifying_key, DOMAIN, statement, output, forged)


@pytest.mark.parametrize("missing", [41, 43, 0, 2**63 - 1])
def test_a_wrong_count_of_missing_readings_cannot_be_proven(
    prover: CircomProver, prepared: Prepared, task: ProvingTask, missing: int
) -> None:
    """By our own code, and by a program module that repeats whatever the coordinator committed to."""
    opening = dataclasses.replace(
        task.opening, completeness=dataclasses.replace(task.opening.completeness, missing=missing)
    )
    wrong = dataclasses.replace(task, opening=opening)
    with pytest.raises(InvalidInput, match="W3B-4021"):
        prover.prove(prepared, wrong, quiet)
    credulous = dataclasses.replace(prepared, state=dataclasses.replace(prepared.state, program=Credulous(task)))
    with pytest.raises(Refused, match="W3B-4008"):
        prover.prove(credulous, wrong, quiet)


@dataclasses.dataclass(frozen=True)
class Credulous:
    """The sample program's module, told what to say: the output as the opening states it, the honest slots."""

    honest: ProvingTask

    def output_of(self, task: ProvingTask) -> bytes:
        return public_output(compute(task.readings), task.opening.completeness)

    def circuit_inputs(self, task: ProvingTask, digest: bytes) -> CircuitInputs:
        return circuit_inputs(self.honest, digest)


def _copied_program(tmp_path: Path) -> Program:
    folder = tmp_path / "program"
    shutil.copytree(PROGRAM.folder, folder)
    return Program(PROGRAM.name, PROGRAM.kind, folder)


def test_a_damaged_program_folder_is_refused(prover: CircomProver, tmp_path: Path) -> None:
    program = _copied_program(tmp_path)
    wasm = program.folder / "temperature_window.wasm"
    wasm.write_bytes(wasm.read_bytes()[:-1] + b"\0")
    with pytest.raises(InvalidInput, match="W3B-4022"):
        prover.prepare(program, quiet)


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ('kind = "zkp.groth16"', 'kind = "zkp.plonk"', "W3B-4002"),
        ("public_signals = 16", "public_signals = 15", "W3B-4002"),
        ('"uint32 late", "uint32 reordered"', '"uint32 reordered", "uint32 late"', "W3B-4022"),
        ('"uint64 missing"', '"uint32 missing"', "W3B-4022"),
        ("capacity", "capacities", "W3B-4022"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(
    prover: CircomProver, prepared: Prepared, tmp_path: Path, old: str, new: str, code: str
) -> None:
    program = _copied_program(tmp_path)
    manifest = program.folder / "program.toml"
    manifest.write_text(manifest.read_text().replace(old, new))
    with pytest.raises(InvalidInput, match=code):
        prover.prepare(program, quiet)


def test_the_prover_pays_whom_the_statement_names(task: ProvingTask, proof: Proof) -> None:
    assert proof.statement.prover == PROVER == task.prover


def test_the_entry_point_leads_here() -> None:
    assert isinstance(prover_for("zkp.groth16"), CircomProver)
