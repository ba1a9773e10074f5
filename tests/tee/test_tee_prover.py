"""TEE provers: a window to an accepted proof on every platform; whatever is forged, swapped or stale is refused."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import pickle
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from eth_abi.abi import decode
from eth_hash.auto import keccak
from simulated_installations import bump, flipped, home
from tee_windows import STATED, VALUES, Clock, honest, prover_of, quiet, sample, with_readings
from wasm_programs import TEMPERATURE, program, program_folder

from coordinator.dispatch.results import check_proof
from provers.programs.temperature_window import OUTPUTS, output_of
from provers.protocol import Proof, Prover, ProvingTask, RefusedKey, Registrar
from provers.tee import platforms
from provers.tee.measurement import Measured
from provers.tee.messages import encode_task
from provers.tee.prover import LIFETIME, REFUSAL_SECONDS, REFUSED_KEYS, TeeProver
from provers.tee.runtime.code import SOURCES, runtime_digest
from provers.tee.session import Session
from tests.groth16.window import DOMAIN, PROVER, window_task
from verifier.attestation.direct_evidence import decode_attachments, encode_attachments
from verifier.attestation.evidence import Evidence, Platform
from verifier.attestation.identity import kind_of
from verifier.attestation.registration import Registration
from verifier.attestation.result import Tier
from verifier.commitment import order_readings
from verifier.errors import InvalidInput, Refused, W3bstreamError
from verifier.reading import DeviceKey, KeyType
from verifier.statement import task_id
from verifier.tee import DIRECT, SESSION_KEY, TeeProof, key_address

SGX = Platform.SGX
WITH_SESSIONS = [platform for platform in Platform if platform is not Platform.SEV]
TYPES = [output.split()[0] for output in OUTPUTS]


def refusal(task: ProvingTask) -> tuple[str, str]:
    """Code and field with which the enclave refuses a task."""
    prover, prepared, _, _ = honest(SGX)
    with pytest.raises(W3bstreamError) as caught:
        prover.prove(prepared, task, quiet)
    return caught.value.code, caught.value.field


def verify_code(proof: Proof, task: ProvingTask | None = None, platform: Platform = SGX) -> tuple[str, str]:
    """Code and field with which a proof is refused."""
    prover, prepared, honest_task, _ = honest(platform)
    with pytest.raises(W3bstreamError) as caught:
        prover.verify(prepared, task or honest_task, proof.statement, proof.public_output, proof.proof)
    return caught.value.code, caught.value.field


@pytest.mark.parametrize("platform", list(Platform))
def test_each_platform_proves_what_the_circuit_computes(platform: Platform) -> None:
    prover, prepared, task, proof = honest(platform)
    assert proof.public_output == output_of(task)
    assert decode(TYPES, proof.public_output) == (6, 181, -(2**31), 2**31 - 1, 3 * 14, *STATED)
    assert proof.statement == task.statement(keccak(proof.public_output))
    assert TeeProof.decode(proof.proof).mode == (DIRECT if platform is Platform.SEV else SESSION_KEY)
    assert (proof.registration is None) == (platform is Platform.SEV)
    assert prepared.trust.startswith("SIMULATED installation ")
    assert isinstance(prover, Prover)
    assert isinstance(prover, Registrar)
    check_proof(prover, prepared, task, proof)


@pytest.mark.parametrize("platform", WITH_SESSIONS)
def test_another_process_accepts_a_proof_once_it_admitted_the_registration(platform: Platform) -> None:
    _, _, task, proof = honest(platform)
    assert proof.registration is not None
    coordinator = prover_of(platform)
    prepared = coordinator.prepare(sample(), quiet)
    arguments = (task, proof.statement, proof.public_output, proof.proof)
    with pytest.raises(Refused, match="W3B-4015"):
        coordinator.verify(prepared, *arguments)
    travelled = pickle.loads(pickle.dumps(Registration.from_json(json.loads(json.dumps(proof.registration.to_json())))))
    for _ in range(2):  # once more is no error
        coordinator.admit(prepared, task.domain, travelled)
    coordinator.verify(prepared, *arguments)
    result = coordinator.appraise(prepared, task.domain, travelled)
    assert result.is_simulated
    assert result.status is not Tier.AFFIRMING


def test_programs_differ_by_platform_code_and_configuration(tmp_path: Path) -> None:
    ids = {honest(platform)[1].program_id for platform in Platform}
    prover = prover_of(SGX)
    for number, (text, limits, more) in enumerate(
        [
            (program("(i64.const 0)"), "", ""),
            (TEMPERATURE, "fuel = 5_000_000", ""),
            (TEMPERATURE, "", 'key_types = ["babyjubjub"]'),
        ]
    ):
        folder = program_folder(tmp_path / f"p{number}", text, limits=limits, more=more)
        ids.add(prover.prepare(folder, quiet).program_id)
    assert len(ids) == len(Platform) + 3
    again = prover_of(SGX).prepare(sample(), quiet)
    assert again.program_id == honest(SGX)[1].program_id


def test_two_installations_agree_on_a_program_and_not_on_whom_to_trust() -> None:
    _, prepared, task, proof = honest(SGX)
    other = prover_of(SGX, 1)
    theirs = other.prepare(sample(), quiet)
    assert theirs.program_id == prepared.program_id
    assert theirs.trust != prepared.trust
    assert proof.registration is not None
    with pytest.raises(Refused, match="W3B-9107"):
        other.admit(theirs, task.domain, proof.registration)


def test_a_forged_signature_is_refused() -> None:
    _, _, task, _ = honest(SGX)
    first, *rest = task.readings
    forged = dataclasses.replace(first, signature=bump(first.signature))
    assert refusal(dataclasses.replace(task, readings=(forged, *rest))) == ("W3B-1003", "signature")
    moved = dataclasses.replace(first, timestamp=first.timestamp + 1)
    assert refusal(with_readings(task, [moved, *rest])) == ("W3B-1003", "signature")


@pytest.mark.parametrize("key_type", [KeyType.SECP256K1, KeyType.P256])
def test_ecdsa_devices_are_proven_and_their_forgeries_refused(key_type: KeyType) -> None:
    prover, prepared, task, _ = honest(SGX)
    key = DeviceKey.from_private(key_type, b"\5" * 32)
    mine = key.sign(7, 1, 1_000, (12).to_bytes(4, "big"))
    devices = (*task.device_set, key.registration())
    readings = order_readings([*task.readings, mine], devices)
    more = with_readings(task, readings, devices)
    assert decode(TYPES, prover.prove(prepared, more, quiet).public_output)[:2] == (7, 193)
    forged = dataclasses.replace(mine, payload=(13).to_bytes(4, "big"))
    assert refusal(with_readings(task, [*readings[:-1], forged], devices)) == ("W3B-1003", "signature")


def test_a_reading_of_a_foreign_device_or_project_is_refused() -> None:
    _, _, task, _ = honest(SGX)
    stranger = DeviceKey.from_private(KeyType.BABYJUBJUB, b"\7" * 32).sign(7, 1, 1_000, bytes(4))
    assert refusal(dataclasses.replace(task, readings=(*task.readings, stranger))) == ("W3B-1004", "device")
    key = DeviceKey.from_private(KeyType.BABYJUBJUB, b"\1" * 32)
    foreign = key.sign(8, 1, 1_000, bytes(4))
    assert refusal(with_readings(task, [foreign])) == ("W3B-4021", "project")


def test_repeats_and_disorder_are_refused() -> None:
    _, _, task, _ = honest(SGX)
    twice = (task.readings[0], *task.readings)
    assert refusal(dataclasses.replace(task, readings=twice))[0] == "W3B-1005"
    swapped = (task.readings[1], task.readings[0], *task.readings[2:])
    assert refusal(dataclasses.replace(task, readings=swapped)) == ("W3B-4021", "readings")
    assert refusal(dataclasses.replace(task, readings=())) == ("W3B-4021", "count")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"readings_root": bytes(32)}, "readings_root"),
        ({"device_set_root": bytes(32)}, "device_set_root"),
        ({"count": 5}, "readings_root"),
        ({"window_start": 0}, "window_end"),
        ({"window_end": 105}, "window_end"),
    ],
)
def test_an_opening_is_never_echoed(changes: dict[str, int | bytes], field: str) -> None:
    """The task says what it was told to say; the enclave answers with what it read, or not at all."""
    _, _, task, _ = honest(SGX)
    opening = dataclasses.replace(task.opening, **changes)  # type: ignore[arg-type]
    assert refusal(dataclasses.replace(task, opening=opening)) == ("W3B-4021", field)


@pytest.mark.parametrize("changes", [{"missing": 0}, {"duplicates": 3}, {"late": 4}, {"reordered": 0}])
def test_a_completeness_that_cannot_be_is_refused(changes: dict[str, int]) -> None:
    _, _, task, _ = honest(SGX)
    lacks = dataclasses.replace(task.opening.completeness, **changes)
    opening = dataclasses.replace(task.opening, completeness=lacks)
    assert refusal(dataclasses.replace(task, opening=opening))[0] == "W3B-4021"


def test_a_task_id_or_program_id_is_never_echoed() -> None:
    _, _, task, _ = honest(SGX)
    assert refusal(dataclasses.replace(task, task_id=bump(task.task_id))) == ("W3B-4012", "taskId")
    assert refusal(dataclasses.replace(task, project_version=9)) == ("W3B-4012", "taskId")
    assert refusal(dataclasses.replace(task, program_id=bump(task.program_id))) == ("W3B-4012", "programId")


def test_a_window_that_the_program_does_not_take_is_refused() -> None:
    _, _, task, _ = honest(SGX)
    key = DeviceKey.from_private(KeyType.BABYJUBJUB, b"\1" * 32)
    assert refusal(with_readings(task, [key.sign(7, 1, 1_000, b"12345")])) == ("W3B-4032", "readings")


@pytest.mark.parametrize(
    ("text", "limits", "code"),
    [
        (program("(loop $l (br $l)) (i64.const 0)"), "fuel = 1_000_000", "W3B-4031"),
        (program("(unreachable)"), "", "W3B-4032"),
        (program("(i64.const 96)"), "", "W3B-4033"),
        (program("(i32.store8 (i32.const 0) (i32.const 1)) (i64.const 128)"), "", "W3B-4033"),
    ],
)
def test_a_program_that_fails_gives_no_proof(tmp_path: Path, text: str, limits: str, code: str) -> None:
    prover = prover_of(SGX)
    prepared = prover.prepare(program_folder(tmp_path / "p", text, limits=limits), quiet)
    with pytest.raises(Refused, match=code):
        prover.prove(prepared, window_task(prepared, VALUES), quiet)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"project_id": 8}, "W3B-4012"),
        ({"project_version": 4}, "W3B-4012"),
        ({"task_id": bytes(32)}, "W3B-4012"),
        ({"inputs": bytes(32)}, "W3B-4011"),
        ({"output": bytes(32)}, "W3B-4013"),
        ({"program_id": bytes(32)}, "W3B-4012"),
        ({"prover": bytes(20)}, "W3B-4012"),
    ],
)
def test_each_field_of_the_statement_counts(changes: dict[str, int | bytes], code: str) -> None:
    _, _, _, proof = honest(SGX)
    statement = dataclasses.replace(proof.statement, **changes)  # type: ignore[arg-type]
    assert verify_code(dataclasses.replace(proof, statement=statement))[0] == code


def test_a_signature_is_of_one_statement() -> None:
    """Also where task, Statement, output and opening are forged together, so that only the signature can tell."""
    prover, prepared, task, proof = honest(SGX)
    shifted = dataclasses.replace(task.opening, window_start=101, window_end=109)
    output = proof.public_output[:32] + bump(proof.public_output[32:])
    forged = [
        (dataclasses.replace(task, prover=bump(task.prover)), proof.public_output),
        (dataclasses.replace(task, project_version=4, task_id=task_id(7, 4, 100, 108)), proof.public_output),
        (dataclasses.replace(task, project_id=8, task_id=task_id(8, 3, 100, 108)), proof.public_output),
        (dataclasses.replace(task, opening=shifted, task_id=task_id(7, 3, 101, 109)), proof.public_output),
        (dataclasses.replace(task, program_id=bump(task.program_id)), proof.public_output),
        (task, output),
    ]
    for other, words in forged:
        statement = other.statement(keccak(words))
        made = dataclasses.replace(TeeProof.decode(proof.proof), opening=other.opening).encode()
        with pytest.raises(Refused, match="W3B-4015"):
            prover.verify(prepared, other, statement, words, made)
    prover.verify(prepared, task, proof.statement, proof.public_output, proof.proof)


def test_another_chain_or_router_has_its_own_session() -> None:
    prover, prepared, task, proof = honest(SGX)
    for domain in (
        dataclasses.replace(task.domain, chain_id=1),
        dataclasses.replace(task.domain, router=bump(task.domain.router)),
    ):
        elsewhere = dataclasses.replace(task, domain=domain)
        assert verify_code(proof, elsewhere) == ("W3B-4015", "sessionKey")
        assert proof.registration is not None
        with pytest.raises(Refused, match="W3B-9112"):
            prover.admit(prepared, domain, proof.registration)


def test_proofs_are_exact() -> None:
    _, _, _, proof = honest(SGX)
    assert verify_code(dataclasses.replace(proof, proof=proof.proof[:-1]))[0] == "W3B-4010"
    assert verify_code(dataclasses.replace(proof, proof=proof.proof + bytes(32)))[0] == "W3B-4010"
    assert verify_code(dataclasses.replace(proof, public_output=proof.public_output + bytes(32)))[0] == "W3B-4013"
    decoded = TeeProof.decode(proof.proof)
    for body, code in (
        (decoded.body[:63] + bytes((decoded.body[63] ^ 1,)) + decoded.body[64:], "W3B-4015"),
        (decoded.body[:64] + bytes((55 - decoded.body[64],)), "W3B-4015"),
        (decoded.body[:64] + b"\0", "W3B-4010"),
        (decoded.body[:64], "W3B-4010"),
    ):
        assert (
            verify_code(dataclasses.replace(proof, proof=dataclasses.replace(decoded, body=body).encode()))[0] == code
        )
    direct = dataclasses.replace(decoded, mode=DIRECT).encode()
    assert verify_code(dataclasses.replace(proof, proof=direct)) == ("W3B-4014", "mode")
    opening = dataclasses.replace(decoded.opening, window_end=decoded.opening.window_end + 1)
    other = dataclasses.replace(decoded, opening=opening).encode()
    assert verify_code(dataclasses.replace(proof, proof=other))[0] == "W3B-4011"


def test_a_key_that_no_enclave_made_signs_nothing() -> None:
    _, prepared, _, proof = honest(SGX)
    mine = Session(DOMAIN, prepared.program_id, PROVER, bytes(32), 1_900_000_000)
    decoded = dataclasses.replace(TeeProof.decode(proof.proof), body=mine.sign(proof.statement))
    assert verify_code(dataclasses.replace(proof, proof=decoded.encode())) == ("W3B-4015", "sessionKey")


@pytest.mark.parametrize("platform", WITH_SESSIONS)
def test_a_registration_counts_for_its_key_program_and_prover_alone(platform: Platform) -> None:
    prover, prepared, task, proof = honest(platform)
    found = proof.registration
    assert found is not None
    for name in ("public_key", "prover", "nonce", "expiry"):
        key = dataclasses.replace(found.key, **{name: bump(getattr(found.key, name))})
        with pytest.raises(Refused, match="W3B-9112"):
            prover.admit(prepared, task.domain, dataclasses.replace(found, key=key))
    other = dataclasses.replace(found.key, program_id=bump(found.key.program_id), nonce=bytes(32))
    with pytest.raises(Refused, match="W3B-4012"):
        prover.admit(prepared, task.domain, dataclasses.replace(found, key=other))
    evidence = Evidence(found.cpu.evidence.platform, flipped(found.cpu.evidence.data, 200))
    cpu = dataclasses.replace(found.cpu, evidence=evidence)
    fresh = dataclasses.replace(found.key, nonce=bytes(32))
    with pytest.raises(W3bstreamError, match="W3B-91"):
        prover.admit(prepared, task.domain, dataclasses.replace(found, key=fresh, cpu=cpu))


def test_a_registration_of_another_program_is_refused(tmp_path: Path) -> None:
    """Its evidence is genuine, and of a program that anybody may have written."""
    prover, prepared, task, _ = honest(SGX)
    evil = prover.prepare(program_folder(tmp_path / "evil", program("(i64.const 128)")), quiet)
    opened = evil.state.enclave.open_session(DOMAIN, PROVER, b"\1" * 32, 1_800_003_600, 1_800_000_000)
    (cpu,) = decode_attachments(opened.attachments)
    with pytest.raises(Refused, match="W3B-4012"):
        prover.admit(prepared, task.domain, Registration("tee.sgx", opened.key, cpu))
    claims = dataclasses.replace(opened.key, program_id=prepared.program_id)
    with pytest.raises(Refused, match=r"W3B-4012|W3B-9112"):
        prover.admit(prepared, task.domain, Registration("tee.sgx", claims, cpu))


def test_a_session_ends_and_the_next_one_begins() -> None:
    clock = Clock()
    prover = prover_of(SGX, clock=clock, lifetime=3600)
    prepared = prover.prepare(sample(), quiet)
    task = window_task(prepared, VALUES)
    first, second = (prover.prove(prepared, task, quiet) for _ in range(2))
    assert first.registration == second.registration
    clock.now += 3600 - 800
    third = prover.prove(prepared, task, quiet)
    assert first.registration is not None
    assert third.registration is not None
    assert third.registration.key.public_key != first.registration.key.public_key
    prover.verify(prepared, task, first.statement, first.public_output, first.proof)
    clock.now += 800
    with pytest.raises(Refused, match=r"W3B-4015.*expired"):
        prover.verify(prepared, task, first.statement, first.public_output, first.proof)
    prover.verify(prepared, task, third.statement, third.public_output, third.proof)
    with pytest.raises(Refused, match="W3B-4016"):
        longer = prover_of(SGX, clock=clock, lifetime=7200)
        ready = longer.prepare(sample(), quiet)
        proof = longer.prove(ready, task, quiet)
        assert proof.registration is not None
        prover.admit(prepared, task.domain, proof.registration)


def test_a_key_that_the_chain_refused_is_dropped_and_not_replaced_without_end() -> None:
    clock = Clock()
    prover = prover_of(SGX, clock=clock)
    prepared = prover.prepare(sample(), quiet)
    task = window_task(prepared, VALUES)
    refused: list[RefusedKey] = []

    def proof() -> Proof:
        return prover.prove(prepared, dataclasses.replace(task, refused_keys=tuple(refused)), quiet)

    def refuse(made: Proof) -> None:
        assert made.registration is not None
        key = made.registration.key
        refused.insert(0, RefusedKey(key_address(key.public_key), key.expiry, "W3B-5002: CallerDataMismatch"))

    for _ in range(REFUSED_KEYS):
        made = proof()
        assert made.registration == proof().registration, "a key is kept until it is refused"
        refuse(made)
        clock.now += 60
    assert len({each.address for each in refused}) == REFUSED_KEYS
    for fresh in (prover, prover_of(SGX, clock=clock)):
        ready = fresh.prepare(sample(), quiet)
        with pytest.raises(Refused, match=r"W3B-4017.*W3B-5002: CallerDataMismatch"):
            fresh.prove(ready, dataclasses.replace(task, refused_keys=tuple(refused)), quiet)
    clock.now += REFUSAL_SECONDS - REFUSED_KEYS * 60
    last = proof()
    assert last.registration is not None
    assert key_address(last.registration.key.public_key) not in {each.address for each in refused}


def test_a_session_ends_with_its_evidence() -> None:
    """A Nitro document's certificates live three hours; the key asks for a day."""
    clock = Clock()
    prover = prover_of(Platform.NITRO, clock=clock)
    prepared = prover.prepare(sample(), quiet)
    task = window_task(prepared, VALUES)
    proof = prover.prove(prepared, task, quiet)
    assert proof.registration is not None
    assert proof.registration.key.expiry == clock.now + LIFETIME
    clock.now += 3 * 3600 + 1
    with pytest.raises(Refused, match="W3B-4015"):
        prover.verify(prepared, task, proof.statement, proof.public_output, proof.proof)
    assert prover.prove(prepared, task, quiet).registration != proof.registration


def test_an_enclave_signs_for_the_provers_that_it_has_sessions_of() -> None:
    _, prepared, task, _ = honest(SGX)
    stranger = dataclasses.replace(task, prover=b"\x33" * 20)
    with pytest.raises(Refused, match="W3B-4015"):
        prepared.state.enclave.prove(encode_task(stranger), 1_800_000_000)


def test_legacy_sev_speaks_for_one_statement() -> None:
    prover, prepared, _, proof = honest(Platform.SEV)
    decoded = TeeProof.decode(proof.proof)
    (cpu,) = decode_attachments(decoded.body)
    more = window_task(prepared, [*VALUES, 1])
    other = prover.prove(prepared, more, quiet)
    swapped = dataclasses.replace(decoded, body=TeeProof.decode(other.proof).body)
    assert verify_code(dataclasses.replace(proof, proof=swapped.encode()), None, Platform.SEV)[0] == "W3B-9112"
    twice = dataclasses.replace(decoded, body=encode_attachments([cpu, cpu]))
    assert verify_code(dataclasses.replace(proof, proof=twice.encode()), None, Platform.SEV)[0] == "W3B-9101"
    for body in (b"", b"[]", b"{}", b"[1]", b"\xff", b"[" * 99, decoded.body[:-1]):
        junk = dataclasses.replace(decoded, body=body)
        assert verify_code(dataclasses.replace(proof, proof=junk.encode()), None, Platform.SEV)[0] == "W3B-9101"
    changed = dataclasses.replace(cpu, evidence=Evidence(Platform.SEV, flipped(cpu.evidence.data, 40)))
    forged = dataclasses.replace(decoded, body=encode_attachments([changed]))
    assert verify_code(dataclasses.replace(proof, proof=forged.encode()), None, Platform.SEV)[0].startswith("W3B-91")


def test_the_session_key_shows_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        _, prepared, _, proof = honest(SGX)
    enclave = prepared.state.enclave
    session = enclave._sessions[DOMAIN, PROVER]
    secret = next(
        cell.cell_contents.secret for cell in session._sign.__closure__ if hasattr(cell.cell_contents, "secret")
    )
    for shown in (repr(session), repr(enclave), repr(prepared), repr(proof), str(prepared.state), caplog.text):
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown
    assert secret not in pickle.dumps(proof)
    for refuses in (pickle.dumps, copy.copy, copy.deepcopy):
        for what in (session, enclave, prepared.state):
            if what is prepared.state and refuses is copy.copy:
                continue  # a second name for the same enclave
            with pytest.raises(TypeError):
                refuses(what)
    assert not hasattr(session, "__dict__")


def test_the_manifest_names_the_kind(tmp_path: Path) -> None:
    folder = program_folder(tmp_path / "p", kinds=["tee.tdx"])
    with pytest.raises(InvalidInput, match="W3B-4002"):
        prover_of(SGX).prepare(dataclasses.replace(folder, kind="tee.sgx"), quiet)
    (tmp_path / "p" / "program.wasm").write_bytes(b"\0asm\x01\0\0\0")
    with pytest.raises(InvalidInput, match="W3B-4022"):
        prover_of(Platform.TDX).prepare(folder, quiet)


def test_the_entry_points_name_a_prover_of_each_platform() -> None:
    root = Path(__file__).parents[2]
    entries = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]
    mine = {name: entry for name, entry in entries["w3bstream.provers"].items() if name.startswith("tee.")}
    assert set(mine) == {kind_of(platform) for platform in Platform}
    for kind, entry in mine.items():
        module, _, name = entry.partition(":")
        assert module == platforms.__name__
        prover = getattr(platforms, name)(home(0))
        assert isinstance(prover, TeeProver)
        assert prover.kind == kind


def test_what_the_enclave_runs_is_measured() -> None:
    """Every module of ours that the enclave imports, but for error texts and what only people or types need."""
    code = (
        "import sys, provers.tee.enclave;"
        "print('\\n'.join(str(m.__file__) for n, m in sys.modules.items() if n.split('.')[0] in ('provers', 'verifier')))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    root = str(Path(__file__).parents[2]) + "/"
    names = {name.removeprefix(root) for name in loaded}
    assert "provers/tee/enclave.py" in names
    assert set(SOURCES) <= names
    unmeasured = {name for name in names - set(SOURCES) if not name.endswith("__init__.py")}
    assert unmeasured <= {
        "provers/installation.py",
        "verifier/attestation/evidence.py",
        "verifier/error_codes.py",
        "verifier/errors.py",
        # what whoever is asked for a secret does with the request
        "verifier/opening.py",
        "verifier/signals.py",
        "verifier/tee.py",
    }
    assert len(runtime_digest()) == 32


def test_a_measurement_is_of_all_three() -> None:
    base = Measured(b"\1" * 32, b"\2" * 32, b"\3" * 32)
    others = [dataclasses.replace(base, **{name: bytes(32)}) for name in ("runtime", "program", "configuration")]
    for size in (32, 48):
        assert len({each.digest(size) for each in (base, *others)}) == 4
        assert len(base.digest(size)) == size
    with pytest.raises(InvalidInput, match="W3B-9101"):
        base.digest(64)
    with pytest.raises(InvalidInput, match="W3B-9101"):
        Measured(bytes(31), bytes(32), bytes(32))
