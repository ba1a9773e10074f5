"""TeeVerifier: a key is registered once by evidence of exactly its program and caller; then it signs Statements.

Every verdict on a result is compared with that of the verifier off chain.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_hash.auto import keccak
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contracts.chain_client import event
from tests.contracts.tee_host import HostChain
from tests.contracts.tee_world import ARTIFACT, KIND, LIFETIME, ORDER, Secret, TeeWorld, host_world, second_half
from tests.contracts.world import Claim, Task, World, address
from verifier import bindings as b
from verifier.attestation.identity import tee_program_id
from verifier.bindings import tee
from verifier.completeness import Completeness
from verifier.contracts.compile import SOURCES, compile_sources
from verifier.errors import Refused
from verifier.statement import Domain
from verifier.tee import DIRECT, SESSION_KEY, Registration, TeeProof, key_address, revocation_digest

NOW = 1_800_000_000
SOME = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def world() -> World:
    """In this process; test_contracts_tee_settlement.py has the chains."""
    return host_world(NOW)


@pytest.fixture(scope="module")
def enclave(world: World) -> TeeWorld:
    return TeeWorld.deploy(world)


@pytest.fixture(scope="module")
def task(world: World) -> Task:
    return Task(world, 7, world.opening())


@pytest.fixture(scope="module")
def secret(enclave: TeeWorld) -> Secret:
    """A registered session key of the first prover."""
    made = enclave.secret(expiry=enclave.now + LIFETIME - 100)
    enclave.register(made, enclave.evidence(made.key, valid_until=enclave.now + 10 * LIFETIME))
    return made


def found(enclave: TeeWorld, secret: Secret) -> Registration:
    data = tee.call_session_key_of(secret.key.program_id, secret.key.prover, secret.address)
    return tee.decode_session_key_of(enclave.world.chain.read(enclave.contract, data))


def with_body(claim: Claim, body: bytes, mode: int = SESSION_KEY) -> Claim:
    opening = TeeProof.decode(claim.proof).opening
    return dataclasses.replace(claim, proof=TeeProof(opening, mode, body).encode())


def test_a_registered_key_signs_results(enclave: TeeWorld, task: Task, secret: Secret) -> None:
    assert enclave.judge(enclave.claim(secret, task)) == "True"
    assert found(enclave, secret) == Registration(secret.key.expiry)


def test_a_registration_is_told(enclave: TeeWorld) -> None:
    made = enclave.secret()
    receipt = enclave.register(made)
    told = event(receipt, "SessionKeyRegistered").args
    assert told == {
        "programId": made.key.program_id,
        "prover": "0x" + made.key.prover.hex(),
        "sessionKey": "0x" + made.address.hex(),
        "nonce": made.key.nonce,
        "expiry": made.key.expiry,
    }


def test_nobody_but_its_router_gets_an_answer(enclave: TeeWorld, task: Task, secret: Secret) -> None:
    claim = enclave.claim(secret, task)
    data = b.verify(claim.statement, claim.public_output, claim.proof)
    refused = enclave.world.chain.call(enclave.contract, data, enclave.world.stranger)
    assert isinstance(refused, b.Revert)
    assert refused.name == "NotRouter"


@pytest.mark.parametrize("name", ["project_id", "project_version", "task_id", "output", "program_id", "prover"])
def test_a_signature_serves_no_other_statement(enclave: TeeWorld, task: Task, secret: Secret, name: str) -> None:
    claim = enclave.claim(secret, task)
    value = getattr(claim.statement, name)
    changed: Any = value + 1 if isinstance(value, int) else bytes(len(value) - 1) + b"\7"
    other = dataclasses.replace(claim, statement=dataclasses.replace(claim.statement, **{name: changed}))
    assert enclave.ask(other) is not True
    if name not in ("output", "task_id"):
        assert enclave.judge(other) == "SessionKeyUnknown"


def test_a_key_signs_for_its_own_prover_and_program_only(enclave: TeeWorld, task: Task, secret: Secret) -> None:
    """The Statement is the other's own, and the key itself signed it."""
    other = address(enclave.world.provers[1])
    assert enclave.judge(enclave.claim(secret, task, prover=other)) == "SessionKeyUnknown"
    program = tee_program_id(KIND, bytes(32))
    assert enclave.judge(enclave.claim(secret, task, program_id=program)) == "SessionKeyUnknown"


def test_a_signature_under_another_domain_is_refused(enclave: TeeWorld, task: Task, secret: Secret) -> None:
    claim = enclave.claim(secret, task)
    domain = enclave.domain
    for other in (Domain(domain.chain_id + 1, domain.router), Domain(domain.chain_id, bytes(19) + b"\1")):
        signed = with_body(claim, secret.sign(claim.statement.digest(other)))
        assert enclave.judge(signed) == "SessionKeyUnknown"


def test_an_unregistered_key_is_refused(enclave: TeeWorld, task: Task) -> None:
    assert enclave.judge(enclave.claim(enclave.secret(), task)) == "SessionKeyUnknown"


def test_the_other_spelling_of_a_signature_is_refused(enclave: TeeWorld, task: Task, secret: Secret) -> None:
    claim = enclave.claim(secret, task)
    body = TeeProof.decode(claim.proof).body
    high = (ORDER - int.from_bytes(body[32:64], "big")).to_bytes(32, "big")
    twin = body[:32] + high + bytes((55 - body[64],))
    assert enclave.judge(with_body(claim, twin)) == "MalformedSignature"


@pytest.mark.parametrize("v", [0, 1, 26, 29, 255])
def test_a_wrong_v_is_refused(enclave: TeeWorld, task: Task, secret: Secret, v: int) -> None:
    claim = enclave.claim(secret, task)
    body = TeeProof.decode(claim.proof).body
    assert enclave.judge(with_body(claim, body[:64] + bytes((v,)))) == "MalformedSignature"


def test_the_other_v_is_another_key(enclave: TeeWorld, task: Task, secret: Secret) -> None:
    claim = enclave.claim(secret, task)
    body = TeeProof.decode(claim.proof).body
    assert enclave.judge(with_body(claim, body[:64] + bytes((55 - body[64],)))) == "SessionKeyUnknown"


@pytest.mark.parametrize("body", [b"", bytes(64), bytes(66), bytes(65), bytes(64) + b"\x1b"], ids=len)
def test_a_body_that_is_no_signature_is_refused(enclave: TeeWorld, task: Task, secret: Secret, body: bytes) -> None:
    assert enclave.judge(with_body(enclave.claim(secret, task), body)) == "MalformedSignature"


@SOME
@given(bit=st.integers(0, 480 * 8 - 1))
def test_every_flipped_bit_of_the_proof_is_refused(enclave: TeeWorld, task: Task, secret: Secret, bit: int) -> None:
    claim = enclave.claim(secret, task)
    assert len(claim.proof) == 480
    flipped = bytearray(claim.proof)
    flipped[bit // 8] ^= 1 << (bit % 8)
    assert enclave.judge(dataclasses.replace(claim, proof=bytes(flipped))) != "True"


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p[:-1],
        lambda p: p[:383],
        lambda p: b"",
        lambda p: p + b"\0",
        lambda p: p + bytes(32),
        lambda p: p[:-1] + b"\1",
        lambda p: p[:320] + (384).to_bytes(32, "big") + p[352:],
        lambda p: p[:352] + (64).to_bytes(32, "big") + p[384:],
        lambda p: p[:352] + (2**256 - 1).to_bytes(32, "big") + p[384:],
    ],
)
def test_another_encoding_of_the_proof_is_refused(enclave: TeeWorld, task: Task, secret: Secret, change: Any) -> None:
    claim = enclave.claim(secret, task)
    other = dataclasses.replace(claim, proof=change(claim.proof))
    assert enclave.judge(other) in ("MalformedProof", "MalformedSignature")


@pytest.mark.parametrize("mode", [0, 3, 255, 2**255])
def test_an_unknown_mode_is_refused(enclave: TeeWorld, task: Task, secret: Secret, mode: int) -> None:
    claim = enclave.claim(secret, task)
    proof = claim.proof[:288] + mode.to_bytes(32, "big") + claim.proof[320:]
    assert enclave.judge(dataclasses.replace(claim, proof=proof)) == "UnknownMode"


def test_another_opening_or_output_is_refused(enclave: TeeWorld, task: Task, secret: Secret) -> None:
    claim = enclave.claim(secret, task)
    other = Task(task.world, 7, task.world.opening())
    body = TeeProof.decode(claim.proof).body
    swapped = TeeProof(other.opening, SESSION_KEY, body).encode()
    assert enclave.judge(dataclasses.replace(claim, proof=swapped)) == "False"


@pytest.mark.parametrize(
    "changes",
    [{"window_start": 0}, {"count": 0}, {"count": 21}, {"completeness": Completeness(late=1)}],
    ids=str,
)
def test_an_impossible_opening_is_refused_even_if_committed(
    enclave: TeeWorld, task: Task, secret: Secret, changes: dict[str, Any]
) -> None:
    other = Task(task.world, 7, dataclasses.replace(task.opening, **changes))
    assert enclave.judge(enclave.claim(secret, other)) == "ImpossibleOpening"


def test_other_completeness_than_the_records_is_refused(enclave: TeeWorld, task: Task, secret: Secret) -> None:
    honest = enclave.claim(secret, task)
    for output in (honest.public_output[:-1] + b"\1", b"", honest.public_output[-127:]):
        claim = enclave.claim(secret, task, output=keccak(output))
        assert enclave.judge(dataclasses.replace(claim, public_output=output)) == "CompletenessMismatch"


def test_a_registration_is_accepted_once(enclave: TeeWorld) -> None:
    made = enclave.secret()
    evidence = enclave.evidence(made.key)
    enclave.register(made, evidence)
    assert enclave.refusal(made.key, evidence).name == "NonceUsed"
    # Nor another key under the nonce, with evidence of its own.
    again = enclave.secret(nonce=made.key.nonce)
    assert enclave.refusal(again.key).name == "NonceUsed"
    with pytest.raises(Refused) as caught:
        enclave.keys.register(again.key, enclave.program, 0, enclave.now)
    assert caught.value.code == "W3B-4016"
    # The nonce is the prover's: another's registration takes nothing from it.
    other = enclave.secret(prover=1, nonce=made.key.nonce)
    enclave.register(other)


@pytest.mark.parametrize("name", ["public_key", "program_id", "prover", "nonce", "expiry"])
def test_evidence_registers_no_other_key(enclave: TeeWorld, name: str) -> None:
    made = enclave.secret()
    value = getattr(made.key, name)
    changed: Any = value - 1 if isinstance(value, int) else value[:-1] + bytes((value[-1] ^ 1,))
    other = dataclasses.replace(made.key, **{name: changed})
    wanted = "ProgramMismatch" if name == "program_id" else "CallerDataMismatch"
    assert enclave.refusal(other, enclave.evidence(made.key)).name == wanted


def test_evidence_under_another_domain_is_refused(enclave: TeeWorld) -> None:
    made = enclave.secret()
    domain = enclave.domain
    for other in (Domain(domain.chain_id + 1, domain.router), Domain(domain.chain_id, bytes(19) + b"\1")):
        assert enclave.refusal(made.key, enclave.evidence(made.key, domain=other)).name == "CallerDataMismatch"


def test_evidence_of_another_program_or_with_other_data_is_refused(enclave: TeeWorld) -> None:
    made = enclave.secret()
    wrong = enclave.evidence(made.key, artifact=bytes(32))
    refused = enclave.refusal(made.key, wrong)
    assert (refused.name, refused.args["measured"]) == ("ProgramMismatch", tee_program_id(KIND, bytes(32)))
    digest, soon = made.key.digest(enclave.domain), enclave.now + 5000
    for caller in (digest, digest + bytes(32), digest + second_half(made.key.public_key) + b"\0", b""):
        evidence = enclave.committee.evidence(caller, soon)
        assert enclave.refusal(made.key, evidence).name == "CallerDataMismatch"
    # Devices that the evidence was to vouch for change the second half.
    devices = enclave.evidence(made.key, devices=bytes(32))
    assert enclave.refusal(made.key, devices).name == "CallerDataMismatch"
    caller = digest + second_half(made.key.public_key, bytes(32))
    enclave.register(made, enclave.committee.evidence(caller, soon, devices=bytes(32)))


def test_a_key_of_another_length_is_refused(enclave: TeeWorld) -> None:
    made = enclave.secret()
    words = (made.key.public_key + b"\0", made.key.program_id, made.key.prover, made.key.nonce, made.key.expiry)
    data = b.encode_call("TeeVerifier", "register", words, enclave.evidence(made.key))
    refused = enclave.world.chain.refusal(enclave.world.stranger, enclave.contract, data)
    assert (refused.name, refused.args) == ("PublicKeyLength", {"length": 65})


def test_no_key_lives_longer_than_the_longest(enclave: TeeWorld) -> None:
    late = enclave.secret(expiry=enclave.now + LIFETIME + 1000)
    assert enclave.refusal(late.key).name == "ExpiryTooLate"
    with pytest.raises(Refused) as caught:
        enclave.keys.register(late.key, enclave.program, 0, enclave.now)
    assert caught.value.code == "W3B-4016"
    assert enclave.refusal(enclave.secret(expiry=enclave.now - 1).key).name == "SessionKeyExpired"
    assert enclave.refusal(enclave.secret(expiry=2**64 - 1).key).name == "ExpiryTooLate"


def test_no_key_lives_longer_than_what_vouches_for_it(enclave: TeeWorld) -> None:
    made = enclave.secret(expiry=enclave.now + 5000)
    until = enclave.now + 2000
    told = event(enclave.register(made, enclave.evidence(made.key, valid_until=until)), "SessionKeyRegistered")
    assert told.args["expiry"] == until
    assert enclave.keys.register(enclave.secret(expiry=until + 9).key, enclave.program, until, until - 9)


def test_an_expired_key_signs_nothing(enclave: TeeWorld, task: Task) -> None:
    made = enclave.secret(expiry=enclave.now + 4)
    enclave.register(made)
    claim = enclave.claim(made, task)
    enclave.world.chain.pass_time(made.key.expiry)
    assert enclave.judge(claim) == "SessionKeyExpired"


def test_a_key_is_registered_again_with_new_evidence_only(enclave: TeeWorld) -> None:
    made = enclave.secret(expiry=enclave.now + 500)
    enclave.register(made)
    later = Secret(made.private, dataclasses.replace(made.key, nonce=bytes(31) + b"\1", expiry=enclave.now + 3000))
    enclave.register(later)
    assert found(enclave, made) == Registration(later.key.expiry)
    # Older evidence, shown later, takes nothing away.
    older = Secret(made.private, dataclasses.replace(made.key, nonce=bytes(31) + b"\2", expiry=enclave.now + 50))
    enclave.register(older)
    assert found(enclave, made) == Registration(later.key.expiry)


def test_the_prover_revokes_its_key_for_good(enclave: TeeWorld, task: Task) -> None:
    made = enclave.secret()
    enclave.register(made)
    prover = enclave.world.provers[0]
    receipt = enclave.world.chain.send(
        prover, enclave.contract, tee.revoke_session_key(made.key.program_id, made.address)
    )
    assert event(receipt, "SessionKeyRevoked").args["prover"] == "0x" + made.key.prover.hex()
    assert found(enclave, made) == Registration(made.key.expiry, revoked=True)
    refused = enclave.ask(enclave.claim(made, task))
    assert isinstance(refused, b.Revert)
    assert refused.name == "SessionKeyIsRevoked"
    again = dataclasses.replace(made.key, nonce=bytes(31) + b"\3")
    assert enclave.refusal(again).name == "SessionKeyIsRevoked"


def test_anyone_else_revokes_nothing(enclave: TeeWorld, task: Task) -> None:
    """A stranger's revocation is of the stranger's own key of that name."""
    made = enclave.secret()
    enclave.register(made)
    data = tee.revoke_session_key(made.key.program_id, made.address)
    enclave.world.chain.send(enclave.world.stranger, enclave.contract, data)
    assert enclave.judge(enclave.claim(made, task)) == "True"


def test_a_key_revokes_itself(enclave: TeeWorld, task: Task) -> None:
    made, other = enclave.secret(), enclave.secret()
    enclave.register(made)
    enclave.register(other)
    names = (made.key.program_id, made.key.prover, made.address)
    digest = revocation_digest(enclave.domain, *names)
    chain, stranger = enclave.world.chain, enclave.world.stranger
    for wrong in (other.sign(digest), made.sign(bytes(32))):
        data = tee.revoke_by_signature(*names, wrong)
        assert chain.refusal(stranger, enclave.contract, data).name == "SessionKeyUnknown"
    malformed = tee.revoke_by_signature(*names, made.sign(digest)[:64])
    assert chain.refusal(stranger, enclave.contract, malformed).name == "MalformedSignature"
    chain.send(stranger, enclave.contract, tee.revoke_by_signature(*names, made.sign(digest)))
    enclave.keys.revoke(*names, made.sign(digest))
    assert enclave.judge(enclave.claim(made, task)) == "SessionKeyIsRevoked"
    assert enclave.judge(enclave.claim(other, task)) == "True"


def test_direct_evidence_speaks_for_one_statement(enclave: TeeWorld, task: Task) -> None:
    claim = enclave.direct(task)
    assert enclave.ask(claim) is True
    other = dataclasses.replace(claim, statement=dataclasses.replace(claim.statement, project_version=2))
    refused = enclave.ask(other)
    assert isinstance(refused, b.Revert)
    assert refused.name == "CallerDataMismatch"
    wrong = enclave.ask(enclave.direct(task, artifact=bytes(32)))
    assert isinstance(wrong, b.Revert)
    assert wrong.name == "ProgramMismatch"


def test_a_registration_is_no_direct_evidence(enclave: TeeWorld, task: Task) -> None:
    made = enclave.secret()
    evidence = enclave.evidence(made.key)
    refused = enclave.ask(enclave.direct(task, body=evidence))
    assert isinstance(refused, b.Revert)
    assert refused.name == "CallerDataMismatch"
    claim = enclave.direct(task)
    body = TeeProof.decode(claim.proof).body
    assert TeeProof.decode(claim.proof).mode == DIRECT
    assert enclave.refusal(made.key, body).name == "CallerDataMismatch"


def test_the_verifier_says_what_its_adapter_says(world: World, enclave: TeeWorld) -> None:
    simulated = TeeWorld.deploy(world, simulated=True)
    for each, wanted in ((enclave, False), (simulated, True)):
        data = b.encode_call("TeeVerifier", "isSimulated")
        answer = b.decode_result("TeeVerifier", "isSimulated", world.chain.read(each.contract, data))
        assert answer == (wanted,)
        kind = world.chain.read(each.contract, b.encode_call("TeeVerifier", "kind"))
        assert b.decode_result("TeeVerifier", "kind", kind) == (KIND,)
    groth16 = world.chain.read(world.deployment.groth16, b.encode_call("Groth16Verifier", "isSimulated"))
    assert b.decode_result("Groth16Verifier", "isSimulated", groth16) == (False,)


@pytest.mark.parametrize("lifetime", [0, 366 * 86_400 + 1, 2**64 - 1])
def test_a_lifetime_without_bound_is_refused(world: World, enclave: TeeWorld, lifetime: int) -> None:
    code = b.bytecode_of("TeeVerifier") + encode(
        ["address", "address", "uint64"], [world.deployment.router, enclave.committee.contract, lifetime]
    )
    receipt = world.chain.submit(world.chain.funded, None, code)
    assert receipt["status"] == 0


def test_an_adapter_cannot_re_enter(world: World) -> None:
    needed = ("tee/IAttestation.sol", "tee/ITeeVerifier.sol", "ITrustAnchor.sol", "IVerifier.sol", "Types.sol")
    sources = {name: (SOURCES / name).read_text() for name in needed}
    sources["TestAttestation.sol"] = (Path(__file__).parent / "solidity/tee/TestAttestation.sol").read_text()
    _, contracts = compile_sources(sources, only="TestAttestation.sol")
    built = contracts["TestAttestation.sol"]["ReentrantAttestation"]
    chain = world.chain
    code = bytes.fromhex(built["evm"]["bytecode"]["object"])
    assert isinstance(chain, HostChain)
    adapter = chain.host.create(code)
    contract = chain.host.deploy("TeeVerifier", world.deployment.router_bytes(), adapter, LIFETIME)

    def appraisal(key: Any, again: bytes) -> bytes:
        caller = key.digest(world.domain) + second_half(key.public_key)
        return encode(["(bytes32,bytes,bytes,uint64)", "bytes"], [(ARTIFACT, caller, b"", 0), again])

    def aim(reenters: bool) -> None:
        chain.send(
            chain.funded,
            adapter,
            keccak(b"aim(address,bool)")[:4] + encode(["address", "bool"], [contract, reenters]),
        )

    program = tee_program_id(KIND, ARTIFACT)
    inner = Secret.make(program, address(world.provers[0]), chain.now() + 1000)
    outer = Secret.make(program, address(world.provers[0]), chain.now() + 1000)
    nested = tee.register_session_key(inner.key, appraisal(inner.key, b""))
    data = tee.register_session_key(outer.key, appraisal(outer.key, nested))
    aim(True)
    refused = chain.call(contract, data, world.stranger)
    assert isinstance(refused, b.Revert), "a view may change nothing"
    # The same adapter without its call is accepted, so that it was the call that was refused.
    aim(False)
    assert isinstance(chain.call(contract, data, world.stranger), bytes)
    assert key_address(outer.key.public_key) == outer.address


def test_kinds_do_not_mix(enclave: TeeWorld) -> None:
    """The artifact is another kind's program: the id commits to the kind."""
    made = enclave.secret()
    other = dataclasses.replace(made.key, program_id=tee_program_id("tee.tdx", ARTIFACT))
    assert enclave.refusal(other).name == "ProgramMismatch"


def test_legacy_sev_has_no_session_keys(world: World, enclave: TeeWorld) -> None:
    """Whoever hosts the guest chooses the data in its report, and could name a key of his own."""
    assert isinstance(world.chain, HostChain)
    host, kind = world.chain.host, "tee.sev"
    seats = enclave.committee.members
    adapter = host.deploy("CommitteeAttestation", kind, False, [address(each) for each in seats], 2)
    contract = host.deploy("TeeVerifier", world.deployment.router_bytes(), adapter, LIFETIME)
    made = Secret.make(tee_program_id(kind, ARTIFACT), address(world.provers[0]), enclave.now + 1000)
    committee = dataclasses.replace(enclave.committee, contract="0x" + adapter.hex(), kind=kind)
    caller = made.key.digest(world.domain) + second_half(made.key.public_key)
    evidence = committee.evidence(caller, enclave.now + 5000)
    data = tee.register_session_key(made.key, evidence)
    assert world.chain.refusal(world.stranger, contract, data).name == "SessionKeysUnsupported"
