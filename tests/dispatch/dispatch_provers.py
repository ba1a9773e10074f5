"""A small real prover for the tests: it recomputes the window's count and sum, and its proof is a hash over the
Statement.

Its program folder says in the file `behaviour` how the next proof goes wrong: `hang`, `spin`, `raise`, `garbage`,
`alien`, `forged`, `exit`, `slow`, `wrong`, `liar` (a sound proof of a wrong output, which passes where `credulous`
lies); `once:` before it means for one proof only, whichever process takes it.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from eth_abi.abi import encode as abi_encode
from eth_hash.auto import keccak

from provers.protocol import Prepared, Program, Progress, Proof, ProvingTask
from provers.tee.measurement import Measured
from provers.tee.simulation.vendors import SimulatedVendors
from verifier.attestation.appraisal import appraise
from verifier.attestation.binding import SessionKey, register_key
from verifier.attestation.evidence import Endorsements, Evidence, Platform
from verifier.attestation.policy import AppraisalPolicy
from verifier.attestation.registration import Attachment, Registration
from verifier.errors import Refused
from verifier.statement import Domain, Statement, program_id
from verifier.tee import key_address

ARTIFACT = keccak(b"hash prover of the tests")


class HashProver:
    """Kind `test.hash`."""

    kind = "test.hash"

    def prepare(self, program: Program, on_progress: Progress) -> Prepared:
        on_progress("load", 1.0)
        return Prepared(program, program_id(self.kind, ARTIFACT), b"key", "test only", program.folder)

    def prove(self, prepared: Prepared, task: ProvingTask, on_progress: Progress) -> Proof:
        on_progress("witness", 0.5)
        public_output = self._output(task)
        behaviour = next_behaviour(prepared.program.folder)
        if behaviour == "liar":
            public_output = abi_encode(["uint32", "int64"], [len(task.readings), 999])
        proof = self._proof(task, public_output)
        (prepared.program.folder / f"proving-{os.getpid()}").touch()
        on_progress("prove", 0.5)
        return misbehave(behaviour, prepared.program.folder, proof)

    def verify(
        self, prepared: Prepared, task: ProvingTask, statement: Statement, public_output: bytes, proof: bytes
    ) -> None:
        if public_output != self._output(task) and not (prepared.program.folder / "credulous").exists():
            raise Refused("W3B-4081", "the output is not the window's")
        if proof != keccak(ARTIFACT + statement.digest(task.domain)):
            raise Refused("W3B-4081", "the proof does not hash the statement")

    def _output(self, task: ProvingTask) -> bytes:
        total = sum(int.from_bytes(reading.payload, "big") for reading in task.readings)
        return abi_encode(["uint32", "int64"], [len(task.readings), total])

    def _proof(self, task: ProvingTask, public_output: bytes) -> Proof:
        statement = task.statement(keccak(public_output))
        return Proof(statement, public_output, keccak(ARTIFACT + statement.digest(task.domain)), {"prove": 0.01})


class OtherHashProver(HashProver):
    """Kind `test.other`, for tasks that want two kinds."""

    kind = "test.other"


class KeyedProver(HashProver):
    """Kind `tee.sgx`: its proofs rest on a session key, with evidence of a simulated machine in the program's folder.

    The file `registration` there says how it goes wrong: `none`, `alien`, `cut`, `forged`, `unjson`, `other`, `huge`.
    """

    kind = "tee.sgx"

    def __init__(self) -> None:
        self.sessions: dict[bytes, Registration] = {}
        self.admitted: set[SessionKey] = set()

    def prove(self, prepared: Prepared, task: ProvingTask, on_progress: Progress) -> Proof:
        proof = super().prove(prepared, task, on_progress)
        folder = prepared.program.folder
        live = self.sessions.get(task.prover)
        if live is None or key_address(live.key.public_key) in {each.address for each in task.refused_keys}:
            self.sessions[task.prover] = self.session(folder, task.domain, prepared.program_id, task.prover)
        spoil = (folder / "registration").read_text() if (folder / "registration").exists() else ""
        return replace(proof, registration=self.spoiled(spoil, self.sessions[task.prover], folder, task.domain))

    def session(self, folder: Path, domain: Domain, program_id: bytes, prover: bytes) -> Registration:
        key = SessionKey(os.urandom(64), program_id, prover, os.urandom(32), int(time.time()) + 3600)
        caller = register_key(Platform.SGX, domain, key)
        measured = Measured(bytes(32), bytes(32), bytes(32))
        made = SimulatedVendors.open(folder).attester(Platform.SGX).attest(measured, caller, now=int(time.time()))
        return Registration(self.kind, key, Attachment(made.evidence, made.endorsements))

    def spoiled(self, how: str, good: Registration, folder: Path, domain: Domain) -> Any:
        data = good.cpu.evidence.data
        match how:
            case "none":
                return None
            case "alien":
                return good.to_json()
            case "cut":
                evidence = Evidence(Platform.SGX, data[:-9])
            case "forged":
                evidence = Evidence(Platform.SGX, data[:100] + bytes([data[100] ^ 1]) + data[101:])
            case "unjson":
                parts = {**good.cpu.endorsements.parts, 7: b""}
                return replace(good, cpu=replace(good.cpu, endorsements=Endorsements(parts)))
            case "other":
                return self.session(folder, domain, good.key.program_id, b"\x66" * 20)
            case "huge":
                parts = {**good.cpu.endorsements.parts, "a": bytes(1 << 20)}
                return replace(good, cpu=replace(good.cpu, endorsements=Endorsements(parts)))
            case _:
                return good
        return replace(good, cpu=replace(good.cpu, evidence=evidence))

    def admit(self, prepared: Prepared, domain: Domain, registration: Registration) -> None:
        """As the real one does, but for the program's id, which is that of the other test kinds."""
        anchors = SimulatedVendors.open(prepared.program.folder).anchors(Platform.SGX)
        caller = register_key(Platform.SGX, domain, registration.key)
        cpu, at = registration.cpu, int(time.time())
        result = appraise(cpu.evidence, cpu.endorsements, anchors, AppraisalPolicy(), at=at, caller_data=caller)
        result.require(allow_simulated=True)
        self.admitted.add(registration.key)

    def verify(
        self, prepared: Prepared, task: ProvingTask, statement: Statement, public_output: bytes, proof: bytes
    ) -> None:
        if task.prover not in {key.prover for key in self.admitted}:
            raise Refused("W3B-4015", "no session key of the prover is registered")
        super().verify(prepared, task, statement, public_output, proof)


def next_behaviour(folder: Path) -> str:
    """The behaviour of this proof; a `once:` one is taken by exactly one process."""
    path = folder / "behaviour"
    try:
        behaviour = path.read_text()
    except FileNotFoundError:
        return ""
    if not behaviour.startswith("once:"):
        return behaviour
    try:
        path.rename(folder / f"taken-{os.getpid()}-{time.monotonic_ns()}")
    except FileNotFoundError:
        return ""
    return behaviour.removeprefix("once:")


def misbehave(behaviour: str, folder: Path, good: Proof) -> Proof:
    """The proof, or what goes wrong instead."""
    if behaviour == "hang":
        while not (folder / "go").exists():
            time.sleep(0.02)
    elif behaviour == "spin":
        while True:
            pass
    elif behaviour == "slow":
        time.sleep(1.5)
    elif behaviour == "raise":
        raise ZeroDivisionError("the program divided by zero")
    elif behaviour == "exit":
        os._exit(3)
    elif behaviour == "garbage":
        return replace(good, proof=b"\x00" * 32)
    elif behaviour == "alien":
        return "not a proof"  # type: ignore[return-value]
    elif behaviour == "forged":
        return replace(good, statement=replace(good.statement, prover=b"\x66" * 20))
    elif behaviour == "wrong":
        public_output = abi_encode(["uint32", "int64"], [9, 999])
        return replace(good, public_output=public_output)
    return good
