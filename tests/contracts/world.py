"""Test only: deployed contracts, a project with two proof kinds, and provers that can prove anything."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from typing import Any

from eth_abi.abi import encode
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_hash.auto import keccak

from tests.contracts.chain_client import Chain
from tests.contracts.groth16_simulator import TrapdoorKey, signals_of
from verifier import bindings as b
from verifier.completeness import Completeness
from verifier.statement import Domain, Opening, Statement, program_id, task_id

ZKP = "zkp.groth16"
SIGNED = "test.signature"
WORDS = (3, -250, -2000, 2150)
OUTPUT_TYPES = ["uint32", "int64", "int32", "int32", "uint64", "uint32", "uint32", "uint32"]
COMPLETENESS = Completeness(missing=5, duplicates=4, late=1, reordered=2)
DEVICE_SET = (12345).to_bytes(32, "big")
_windows = itertools.count(1, 100)
_projects = itertools.count(1)


def address(account: LocalAccount) -> bytes:
    return bytes.fromhex(account.address[2:])


@dataclass
class World:
    """One deployment, shared by the tests of a session; each test makes its own projects and tasks."""

    chain: Chain
    deployment: b.Deployment
    coordinator: LocalAccount
    stranger: LocalAccount
    provers: tuple[LocalAccount, LocalAccount]
    signer: LocalAccount
    signature_verifier: bytes
    key: TrapdoorKey
    test_abi: dict[str, dict[str, Any]]

    @property
    def domain(self) -> Domain:
        return Domain(self.deployment.chain_id, self.deployment.router_bytes())

    def deploy_test(self, name: str, types: list[str] | None = None, arguments: list[Any] | None = None) -> bytes:
        """Deploy a contract of solidity/TestContracts.sol; its address."""
        code = bytes.fromhex(self.test_abi[name]["evm"]["bytecode"]["object"])
        receipt = self.chain.send(self.chain.funded, None, code + encode(types or [], arguments or []))
        return bytes.fromhex(receipt["contractAddress"][2:])

    def programs(self) -> tuple[b.Program, ...]:
        groth16 = bytes.fromhex(self.deployment.groth16[2:])
        return (
            b.Program(ZKP, self.key.program_id(), groth16),
            b.Program(SIGNED, program_id(SIGNED, bytes(32)), self.signature_verifier),
        )

    def version(self, **changes: Any) -> b.Version:
        """A good version, with changes."""
        version = b.Version(
            version=1,
            config_hash=keccak(b"project file"),
            config_uri="ipfs://project",
            device_set_root=DEVICE_SET,
            scheme=b.scheme_id("poseidon-bn254-v1"),
            dapp=bytes.fromhex(self.deployment.temperature_dapp[2:]),
            window_capacity=16,
            threshold=1,
            programs=self.programs(),
        )
        return dataclasses.replace(version, **changes)

    def create_project(self, *, policy: b.Policy | None = None, **changes: Any) -> int:
        """A project of the coordinator with one published version."""
        registry = self.deployment.registry
        project = next(_projects)
        self.chain.send(self.coordinator, registry, b.create_project(project, address(self.coordinator)))
        version = self.version(**changes)
        data = (
            b.publish_version_with_policy(project, version, policy) if policy else b.publish_version(project, version)
        )
        self.chain.send(self.coordinator, registry, data)
        return project

    def opening(self, **changes: Any) -> Opening:
        start = next(_windows)
        opening = Opening(
            keccak(start.to_bytes(8, "big"))[1:].rjust(32, b"\0"), DEVICE_SET, start, start + 20, 3, COMPLETENESS
        )
        return dataclasses.replace(opening, **changes)

    def task(self, project: int, *, kinds: tuple[str, ...] = (ZKP,), lifetime: int = 100_000, fence: int = 1) -> Task:
        """A recorded task, assigned to both provers for each kind."""
        opening = self.opening()
        task = Task(self, project, opening)
        deadline = self.chain.now() + lifetime
        assignments = [
            b.Assignment(task.task_id, address(prover), b.kind_hash(kind), deadline, fence)
            for prover in self.provers
            for kind in kinds
        ]
        task.deadline = deadline
        self.coordinate([b.TaskRecord(project, 1, opening)], assignments)
        return task

    def coordinate(self, tasks: Any = (), assignments: Any = (), statuses: Any = ()) -> Any:
        return self.chain.send(self.coordinator, self.deployment.fleet, b.apply_batch(tasks, assignments, statuses))

    def fleet_refusal(self, tasks: Any = (), assignments: Any = (), statuses: Any = ()) -> b.Revert:
        data = b.apply_batch(tasks, assignments, statuses)
        return self.chain.refusal(self.coordinator, self.deployment.fleet, data)

    def state(self, task: Task) -> b.TaskState:
        return b.decode_task_state(self.chain.read(self.deployment.router, b.call_task_state(task.task_id)))

    def test_call(self, contract: str, function: str, *arguments: Any) -> bytes:
        """Call data of a function of a test contract."""
        entry = next(e for e in self.test_abi[contract]["abi"] if e.get("name") == function)
        types = [each["type"] for each in entry["inputs"]]
        return keccak(f"{function}({','.join(types)})".encode())[:4] + encode(types, arguments)


@dataclass(frozen=True)
class Claim:
    """Arguments of one `settle`."""

    statement: Statement
    kind: str
    public_output: bytes
    proof: bytes

    def data(self) -> bytes:
        return b.settle(self.statement, self.kind, self.public_output, self.proof)


@dataclass
class Task:
    """A task and everything needed to prove it."""

    world: World
    project: int
    opening: Opening
    deadline: int = 0

    @property
    def task_id(self) -> bytes:
        return task_id(self.project, 1, self.opening.window_start, self.opening.window_end)

    def statement(self, kind: str, output: bytes, prover: int = 0) -> Statement:
        world = self.world
        program = next(each for each in world.programs() if each.kind == kind)
        return Statement(
            self.project,
            1,
            self.task_id,
            self.opening.commitment(),
            keccak(output),
            program.program_id,
            address(world.provers[prover]),
        )

    def claim(self, kind: str = ZKP, words: tuple[int, ...] = WORDS, prover: int = 0) -> Claim:
        """A good proof; `words` are the program's own, the completeness follows."""
        output = encode(OUTPUT_TYPES, (*words, *self.opening.completeness.words()))
        return self.prove(self.statement(kind, output, prover), kind, output)

    def prove(self, statement: Statement, kind: str, output: bytes, domain: Domain | None = None) -> Claim:
        """A proof of any statement under any domain: the trapdoor signs whatever it is shown."""
        domain = domain or self.world.domain
        if kind == ZKP:
            words = [int.from_bytes(output[at : at + 32], "big", signed=True) for at in range(0, len(output), 32)]
            signals = signals_of(statement, domain, self.opening, words)
            return Claim(statement, kind, output, self.world.key.simulate(signals, self.opening))
        signature = Account.unsafe_sign_hash(statement.digest(domain), self.world.signer.key)
        parts = [signature.r.to_bytes(32, "big"), signature.s.to_bytes(32, "big"), signature.v]
        return Claim(statement, kind, output, encode(["bytes32", "bytes32", "uint8"], parts))

    def settle(self, claim: Claim) -> Any:
        """Settle by a stranger, who needs no right."""
        return self.world.chain.send(self.world.stranger, self.world.deployment.router, claim.data())

    def refusal(self, claim: Claim) -> b.Revert:
        return self.world.chain.refusal(self.world.stranger, self.world.deployment.router, claim.data())
