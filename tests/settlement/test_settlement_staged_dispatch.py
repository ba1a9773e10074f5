"""What must hold: "a signature now, ZK within the hour", with the real dispatcher and the real sender on contracts of a
real chain: OPEN, settled by the first kind alone, FINAL, and then confirmed by the second."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_account import Account
from eth_hash.auto import keccak
from sqlmodel import col, select

from coordinator.dispatch.dispatcher import Dispatcher
from coordinator.dispatch.inline_pool import InlinePool
from coordinator.dispatch.proving_task import to_hex
from coordinator.ledger.tables import AttemptRow, DeviceRow, ProjectVersionRow, ReadingRow, TaskRow
from coordinator.settings import Settings
from coordinator.webhooks.event import Site
from coordinator.webhooks.task_events import TaskEvents
from provers.protocol import Prepared, Program, Progress, Proof, ProvingTask
from tests.contracts.groth16_simulator import signals_of
from tests.settlement import settlement_world
from tests.settlement.settlement_world import (
    COMPLETENESS,
    KEY,
    OUTPUT_TYPES,
    SIGNED,
    VERIFIER_KEY,
    WORDS,
    ZKP,
    Anvil,
    World,
)
from tests.settlement.test_settlement_path import final_task
from tests.settlement.test_settlement_staged import on_chain, until_confirmation
from verifier import bindings as b
from verifier.commitment import POSEIDON_BN254_V1
from verifier.errors import Refused
from verifier.reading import DeviceKey, KeyType
from verifier.statement import Domain, Opening, Statement, program_id

DEVICE = DeviceKey(KeyType.SECP256K1, bytes(31) + b"\x07")
START, COUNT = 1, 3


class SignedProver:
    """Kind `test.signature`: the judge's signature of the Statement, which the chain's test verifier takes."""

    kind = SIGNED

    def prepare(self, program: Program, on_progress: Progress) -> Prepared:
        on_progress("load", 1.0)
        return Prepared(program, self._program_id(), b"key", "test only", program.folder)

    def prove(self, prepared: Prepared, task: ProvingTask, on_progress: Progress) -> Proof:
        public_output = encode(OUTPUT_TYPES, WORDS)
        statement = task.statement(keccak(public_output))
        on_progress("prove", 0.5)
        return Proof(statement, public_output, self._proof(task, statement), {})

    def verify(
        self, prepared: Prepared, task: ProvingTask, statement: Statement, public_output: bytes, proof: bytes
    ) -> None:
        if proof != self._proof(task, statement):  # both are deterministic
            raise Refused("W3B-4081", "not the proof of this statement")

    def _program_id(self) -> bytes:
        return program_id(SIGNED, bytes(32))

    def _proof(self, task: ProvingTask, statement: Statement) -> bytes:
        signature = Account.unsafe_sign_hash(statement.digest(task.domain), VERIFIER_KEY)
        parts = [signature.r.to_bytes(32, "big"), signature.s.to_bytes(32, "big"), signature.v]
        return encode(["bytes32", "bytes32", "uint8"], parts)


class TrapdoorProver(SignedProver):
    """Kind `zkp.groth16`: a proof that the deployed Groth16 verifier takes, made with the key's trapdoor."""

    kind = ZKP

    def _program_id(self) -> bytes:
        return KEY.program_id()

    def _proof(self, task: ProvingTask, statement: Statement) -> bytes:
        return KEY.simulate(signals_of(statement, task.domain, task.opening, list(WORDS)), task.opening)


@pytest.fixture
async def world(
    shared_anvil: Anvil,
    tmp_path: Path,
    ledger_url: str,
    test_abi: dict[str, dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[World]:
    """A staged project with one device, published with what the dispatcher reads of it."""
    device = DEVICE.registration("the one")
    root = POSEIDON_BN254_V1.device_set_root([device])
    monkeypatch.setattr(settlement_world, "DEVICE_SET", root)
    built = await World.build(tmp_path, ledger_url, shared_anvil.url, test_abi)
    await built.add_project(confirm_within=3600)
    async with built.ledger.transaction() as session:
        version = await session.get_one(ProjectVersionRow, (built.project_id, 1))
        version.config = {"assurance": {"confirm": ZKP, "confirm_within": 3600}}
        version.programs = [
            {"kind": kind, "name": kind, "program_id": to_hex(built.program(kind))} for kind in (ZKP, SIGNED)
        ]
        session.add(version)
        session.add(
            DeviceRow(
                project_id=built.project_id,
                version=1,
                position=0,
                device=to_hex(device.device),
                key_type=int(device.key_type),
                public_key=to_hex(device.public_key),
            )
        )
    yield built
    await built.close()


async def _close_window(world: World) -> str:
    """A window over signed readings, as the intake leaves it."""
    now = world.ledger.clock()
    readings = [DEVICE.sign(world.project_id, START + n, now, (20 + n).to_bytes(4, "big")) for n in range(COUNT)]
    root = POSEIDON_BN254_V1.readings_root(readings, 16)
    name = await world.add_task(start=START, end=START + 20, count=COUNT)
    opening = Opening(root, settlement_world.DEVICE_SET, START, START + 20, COUNT, COMPLETENESS)
    async with world.ledger.transaction() as session:
        task = await session.get_one(TaskRow, name)
        task.readings_root, task.inputs = to_hex(root), to_hex(opening.commitment())
        session.add(task)
        for at, reading in enumerate(readings):
            session.add(
                ReadingRow(
                    project_id=world.project_id,
                    position=START + at,
                    version=1,
                    device=to_hex(reading.device),
                    sequence=reading.sequence,
                    timestamp=reading.timestamp,
                    wire=reading.to_wire(),
                    received_at=now,
                    task_id=name,
                )
            )
    return name


@asynccontextmanager
async def _dispatching(world: World, home: Path) -> AsyncIterator[None]:
    kinds = {SIGNED: SignedProver, ZKP: TrapdoorProver}
    folders = {kind: home / kind for kind in kinds}
    for folder in folders.values():
        folder.mkdir()
    domain = Domain(world.deployment.chain_id, world.deployment.router_bytes())
    dispatcher = Dispatcher(
        world.ledger,
        InlinePool(),
        Settings(home=home, provers=1),
        domain,
        {kind: made() for kind, made in kinds.items()},
        programs={kind: Program(kind, kind, folder) for kind, folder in folders.items()},
        entries={kind: f"{__name__}:{made.__name__}" for kind, made in kinds.items()},
        on_task_ended=TaskEvents(Site(world.deployment.chain_id, world.deployment.router)),
    )
    running = asyncio.create_task(dispatcher.run())
    try:
        yield
    finally:
        await dispatcher.stop()
        with suppress(asyncio.CancelledError):
            await running


async def test_a_staged_task_settles_at_once_and_is_confirmed_after_it(world: World, tmp_path: Path) -> None:
    settlement = world.settlement()
    async with _dispatching(world, tmp_path):
        task = await _close_window(world)
        row = await final_task(world, settlement, task)
        await until_confirmation(world, settlement, task, "CONFIRMED")
    async with world.ledger.reading() as session:
        query = select(AttemptRow).where(AttemptRow.task_id == task).order_by(col(AttemptRow.id))
        first, second = (await session.exec(query)).all()
    assert (first.kind, first.state, second.kind, second.state) == (SIGNED, "VERIFIED", ZKP, "VERIFIED")
    assert first.proved_at is not None
    assert second.created_at >= first.proved_at, "the confirming kind waits for the result"
    assert first.output == second.output == row.output
    confirmed = await on_chain(world, task)
    assert (confirmed.status, confirmed.kind) == (b.ConfirmationStatus.CONFIRMED, b.kind_hash(ZKP))
    assert to_hex(confirmed.prover) == second.prover_address.lower()
    settled = await world.chain.receipt(row.transaction_hash)
    assert settled is not None, "the first kind settled it alone"
