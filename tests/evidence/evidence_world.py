"""Test only: a real deployment, signed readings, settled tasks, and the ledger that a service would have of them.

Proofs are simulated from a key's trapdoor (tests/contracts/groth16_simulator.py): they hold, on chain and off chain.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_abi.abi import encode
from eth_account import Account
from eth_hash.auto import keccak

from coordinator.evidence.gathering import Evidence, EvidenceMaker
from coordinator.ledger.outbox_tables import DeploymentRow
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import (
    AttemptRow,
    DeviceRow,
    ProjectRow,
    ProjectVersionRow,
    ProverRow,
    ReadingRow,
    TaskRow,
)
from coordinator.settlement.chain import JsonRpcChain
from l1.process import ChainProcess
from tests.contracts.chain_client import Chain
from tests.contracts.groth16_simulator import TrapdoorKey, signals_of
from verifier import bindings as b
from verifier.commitment import device_set_root, order_readings, readings_root
from verifier.completeness import Completeness, count_missing
from verifier.evidence.data_checks import Window
from verifier.evidence.trust import Trust, read_trust
from verifier.reading import Device, DeviceKey, KeyType, Reading
from verifier.statement import Domain, Opening, Statement, task_id

ZKP = "zkp.groth16"
OTHER = "test.other"
"""A kind that no verifier here knows; on chain it is a Groth16 key of its own."""
SCHEME = "poseidon-bn254-v1"
CAPACITY = 16
PROGRAM = "temperature_window"
OUTPUTS = ("uint32 count", "int64 sum", "int32 minimum", "int32 maximum")
COMPLETENESS = ("uint64 missing", "uint32 duplicates", "uint32 late", "uint32 reordered")
TYPES = [each.split()[0] for each in (*OUTPUTS, *COMPLETENESS)]
DEVICES = [
    DeviceKey.from_private(KeyType.BABYJUBJUB, bytes([1]) * 32),
    DeviceKey.from_private(KeyType.SECP256K1, bytes([2]) * 32),
    DeviceKey.from_private(KeyType.P256, bytes([3]) * 32),
    DeviceKey.from_private(KeyType.BABYJUBJUB, bytes([4]) * 32),
]
KEYS = {ZKP: TrapdoorKey.generate(seed=5), OTHER: TrapdoorKey.generate(seed=6)}


def address(name: str) -> bytes:
    return keccak(name.encode())[-20:]


class Temperature:
    """The sample program's plain computation, as an installation offers it to the verifier."""

    outputs = (*OUTPUTS, *COMPLETENESS)

    def output_of(self, window: Window) -> bytes:
        return output_of(window.readings, window.opening.completeness)


PROGRAMS = {PROGRAM: Temperature()}


def output_of(readings: Sequence[Reading], completeness: Completeness) -> bytes:
    values = [int.from_bytes(each.payload, "big", signed=True) for each in readings]
    return encode(TYPES, (len(values), sum(values), min(values), max(values), *completeness.words()))


@dataclass(frozen=True)
class Settled:
    """A task of the world."""

    id: str
    project_id: int
    readings: tuple[Reading, ...]
    opening: Opening
    positions: tuple[int, ...]


@dataclass
class World:
    """One deployment on one chain, and one ledger."""

    chain: Chain
    ledger: Ledger
    deployment: b.Deployment
    coordinator: Any
    genesis: bytes
    projects: int = 0
    finality: str = "bls"
    windows: dict[int, int] = field(default_factory=dict)

    @classmethod
    def build(cls, chain: Chain, folder: Path) -> World:
        coordinator = Account.from_key(keccak(b"evidence tests: coordinator"))
        chain.fund(coordinator)
        deployment = b.deploy(chain.web3, chain.funded, coordinator.address, heartbeat_timeout=7 * 86_400)
        genesis = bytes(chain.web3.eth.get_block(0)["hash"])
        world = cls(chain, Ledger.at(folder / "ledger.db"), deployment, coordinator, genesis)
        asyncio.run(world._begin())
        for kind, key in KEYS.items():
            chain.send(coordinator, deployment.groth16, b.register_verifying_key(key.encoded()))
            prover = address(kind)
            chain.send(coordinator, deployment.fleet, b.register_prover(prover, [kind]))
            world.apply(statuses=[b.StatusUpdate(prover, b.ProverStatus.IDLE)])
        return world

    async def _begin(self) -> None:
        await self.ledger.migrate()
        await self.add(
            DeploymentRow(
                chain_id=self.deployment.chain_id,
                genesis_hash="0x" + self.genesis.hex(),
                addresses=dataclasses.asdict(self.deployment),
                created_at=1,
            ),
            *(
                ProverRow(id=kind, kind=kind, address="0x" + address(kind).hex(), created_at=1, updated_at=1)
                for kind in KEYS
            ),
        )

    async def add(self, *rows: Any) -> None:
        async with self.ledger.transaction() as session:
            session.add_all(rows)

    def apply(self, tasks: Any = (), assignments: Any = (), statuses: Any = ()) -> Any:
        return self.chain.send(self.coordinator, self.deployment.fleet, b.apply_batch(tasks, assignments, statuses))

    @property
    def domain(self) -> Domain:
        return Domain(self.deployment.chain_id, self.deployment.router_bytes())

    def project(self, kinds: Sequence[str] = (ZKP,), devices: Sequence[DeviceKey] = DEVICES) -> int:
        """A project with one published version that needs every kind."""
        self.projects += 1
        number, registered = self.projects, [key.registration() for key in devices]
        owner = bytes.fromhex(self.coordinator.address[2:])
        groth16 = bytes.fromhex(self.deployment.groth16[2:])
        version = b.Version(
            version=1,
            config_hash=keccak(b"project file"),
            config_uri="",
            device_set_root=device_set_root(registered),
            scheme=b.scheme_id(SCHEME),
            dapp=bytes(20),
            window_capacity=CAPACITY,
            threshold=len(kinds),
            programs=tuple(b.Program(kind, KEYS[kind].program_id(), groth16) for kind in kinds),
        )
        self.chain.send(self.coordinator, self.deployment.registry, b.create_project(number, owner))
        self.chain.send(self.coordinator, self.deployment.registry, b.publish_version(number, version))
        self.windows[number] = 1
        asyncio.run(self.add(*_project_rows(number, version, registered)))
        return number

    def readings(self, project: int, values: Sequence[int], first: int = 1) -> tuple[Reading, ...]:
        """One reading a value, dealt to the first three devices in turn, every second number left out."""
        made = [
            DEVICES[n % 3].sign(project, first + 2 * n, 1_700_000_000_000 + n, value.to_bytes(4, "big", signed=True))
            for n, value in enumerate(values)
        ]
        return order_readings(made, [key.registration() for key in DEVICES])

    def settle(
        self,
        project: int,
        values: Sequence[int] = (215, -40, 300, 7, 81),
        kinds: Sequence[str] = (ZKP,),
        state: str = "FINAL",
    ) -> Settled:
        """A window, recorded, assigned, proven and settled on chain, and in the ledger."""
        start = self.windows[project]
        self.windows[project] = start + len(values) + 3
        readings = self.readings(project, values, first=2 * start)
        completeness = Completeness(count_missing(readings), 2, 1, 2)
        devices = device_set_root([key.registration() for key in DEVICES])
        opening = Opening(
            readings_root(readings, CAPACITY), devices, start, self.windows[project], len(values), completeness
        )
        name = task_id(project, 1, opening.window_start, opening.window_end)
        self.apply(tasks=[b.TaskRecord(project, 1, opening)])
        deadline = self.chain.now() + 100_000
        assigned = [
            b.Assignment(name, address(kind), b.kind_hash(kind), deadline, at + 1) for at, kind in enumerate(kinds)
        ]
        self.apply(assignments=assigned)
        output = output_of(readings, completeness)
        attempts, receipt = [], None
        for at, kind in enumerate(kinds):
            statement, proof = self.prove(project, name, opening, kind, output)
            call = b.settle(statement, kind, output, proof)
            receipt = self.chain.send(self.coordinator, self.deployment.router, call)
            attempts.append(_attempt_row(name, kind, at + 1, output, proof))
        positions = tuple(range(start, start + len(values)))
        task = _task_row(name, project, opening, output, receipt, state, kinds)
        task.finality_source = self.finality if state == "FINAL" else ""
        asyncio.run(self.add(task, *_reading_rows(project, name, readings, positions)))
        asyncio.run(self.add(*attempts))
        return Settled("0x" + name.hex(), project, readings, opening, positions)

    def prove(self, project: int, name: bytes, opening: Opening, kind: str, output: bytes) -> tuple[Statement, bytes]:
        statement = Statement(
            project, 1, name, opening.commitment(), keccak(output), KEYS[kind].program_id(), address(kind)
        )
        words = [int.from_bytes(output[at : at + 32], "big", signed=True) for at in range(0, len(output), 32)]
        return statement, KEYS[kind].simulate(signals_of(statement, self.domain, opening, words), opening)

    def make(self, ask: Callable[[EvidenceMaker], Any]) -> Evidence:
        """What `ask` gets of a fresh maker."""

        async def run() -> Evidence:
            rpc = JsonRpcChain(str(self.chain.web3.provider.endpoint_uri))  # type: ignore[attr-defined]
            try:
                found: Evidence = await ask(EvidenceMaker(self.ledger, rpc, self.deployment))
                return found
            finally:
                await rpc.close()
                await self.ledger.close()

        return asyncio.run(run())

    def trust(self, **changes: Any) -> Trust:
        """Everything pinned but the blocks, as a reader's file would do it."""
        at = self.deployment
        names = {"registry": at.registry, "fleet": at.fleet, "router": at.router}
        fields = {
            "chain_id": at.chain_id,
            "genesis": "0x" + self.genesis.hex(),
            "contracts": names,
            "finality_sources": ["bls"],
            "programs": [{"program_id": "0x" + KEYS[ZKP].program_id().hex(), "name": PROGRAM, "set_up": "development"}],
        }
        return read_trust(json.dumps(fields | changes))

    def block_hash(self, number: int) -> bytes | None:
        """What the reader's own node answers."""
        found = self.chain.rpc("eth_getBlockByNumber", hex(number), False)["result"]
        return bytes.fromhex(found["hash"][2:]) if found else None


def _project_rows(number: int, version: b.Version, devices: Sequence[Device]) -> list[Any]:
    row = ProjectVersionRow(
        project_id=number,
        version=1,
        file="",
        config={},
        config_hash="0x" + version.config_hash.hex(),
        device_set_root="0x" + version.device_set_root.hex(),
        scheme=SCHEME,
        window_capacity=CAPACITY,
        window_max_age_ms=1000,
        programs=[{"kind": each.kind, "name": PROGRAM, "program_id": "", "verifier": ""} for each in version.programs],
        threshold=version.threshold,
        state="PUBLISHED",
        created_at=1,
    )
    rows: list[Any] = [ProjectRow(id=number, name=f"p{number}", owner_key_id="key_0", version=1, created_at=1), row]
    for at, each in enumerate(devices):
        rows.append(
            DeviceRow(
                project_id=number,
                version=1,
                position=at,
                device="0x" + each.device.hex(),
                key_type=int(each.key_type),
                public_key="0x" + each.public_key.hex(),
            )
        )
    return rows


def _reading_rows(project: int, name: bytes, readings: Sequence[Reading], positions: Sequence[int]) -> list[ReadingRow]:
    return [
        ReadingRow(
            project_id=project,
            position=position,
            version=1,
            device="0x" + each.device.hex(),
            sequence=each.sequence,
            timestamp=each.timestamp,
            wire=each.to_wire(),
            received_at=1,
            task_id="0x" + name.hex(),
        )
        for each, position in zip(readings, positions, strict=True)
    ]


def _task_row(
    name: bytes, project: int, opening: Opening, output: bytes, receipt: Any, state: str, kinds: Sequence[str]
) -> TaskRow:
    lacks = opening.completeness
    return TaskRow(
        id="0x" + name.hex(),
        project_id=project,
        version=1,
        window_start=opening.window_start,
        window_end=opening.window_end,
        count=opening.count,
        readings_root="0x" + opening.readings_root.hex(),
        device_set_root="0x" + opening.device_set_root.hex(),
        inputs="0x" + opening.commitment().hex(),
        missing=lacks.missing,
        duplicates=lacks.duplicates,
        late=lacks.late,
        reordered=lacks.reordered,
        state=state,
        kinds=list(kinds),
        threshold=len(kinds),
        deadline_at=1,
        output="0x" + keccak(output).hex(),
        public_output=output,
        block_number=receipt["blockNumber"],
        block_hash="0x" + bytes(receipt["blockHash"]).hex(),
        transaction_hash="0x" + bytes(receipt["transactionHash"]).hex(),
        first_reading_at=1,
        created_at=1,
        updated_at=1,
    )


def _attempt_row(name: bytes, kind: str, fence: int, output: bytes, proof: bytes) -> AttemptRow:
    return AttemptRow(
        task_id="0x" + name.hex(),
        kind=kind,
        program_id="0x" + KEYS[kind].program_id().hex(),
        prover_id=kind,
        prover_address="0x" + address(kind).hex(),
        fence=fence,
        state="VERIFIED",
        lease_expires_at=1,
        heartbeat_at=1,
        deadline_at=1,
        output="0x" + keccak(output).hex(),
        public_output=output,
        proof=proof,
        created_at=1,
        updated_at=1,
    )


def l1_chain(folder: Path) -> tuple[Chain, ChainProcess]:
    """Our own chain and a client that has funds."""
    funded = Account.from_key(keccak(b"funded"))
    genesis = folder / "genesis.json"
    genesis.write_text(json.dumps({"chainId": 4690, "alloc": {funded.address: {"balance": str(10**24)}}}))
    node = ChainProcess(folder / "chain", genesis, options=["--min-interval", "0.02", "--delegates", "4"])
    return Chain.connect("l1", node.rpc_url, funded.key), node
