"""What must hold: a proof is sent after its session key is registered, once a key, and ends with one that is refused."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any

import pytest
from eth_account import Account
from eth_hash.auto import keccak
from sqlmodel import select
from web3 import HTTPProvider, Web3

from coordinator.ledger.outbox_tables import OutboxTxRow, SessionKeyRow
from coordinator.ledger.tables import TaskEventRow
from coordinator.settlement.key_registrations import Registering
from coordinator.settlement.service import Settlement
from tests.contracts.groth16_simulator import TrapdoorKey
from tests.settlement.settlement_world import L1, RICH, ZKP, World, transfer
from verifier import bindings as b
from verifier.attestation.binding import SessionKey, register_key
from verifier.attestation.committee import Appraised
from verifier.attestation.evidence import Platform
from verifier.attestation.identity import tee_program_id
from verifier.bindings.tee import (
    call_session_key_of,
    decode_session_key_of,
    deploy_committee,
    deploy_tee_verifier,
    register_session_key,
)
from verifier.errors import InvalidInput, Refused, Unavailable, W3bstreamError
from verifier.signatures import sign
from verifier.statement import Domain
from verifier.tee import Registration, key_address

pytestmark = pytest.mark.parametrize("node", ["l1"], indirect=True)
DIGEST = "0x" + keccak(b"session key").hex()
PURPOSE = "register_session_key"


class Calls:
    """Stands for the call to a TEE verifier: a call to a real contract that is accepted, or what is set in `error`."""

    def __init__(self, world: World, data: bytes = b"") -> None:
        self.to = world.deployment.groth16
        self.data = data or b.register_verifying_key(TrapdoorKey.generate(seed=2).encoded())
        self.error: W3bstreamError | None = None
        self.asked: list[Mapping[str, Any]] = []

    async def call(self, document: Mapping[str, Any]) -> Registering:
        self.asked.append(document)
        if self.error is not None:
            raise self.error
        return Registering(self.to, self.data)


async def sign_with(world: World, attempt: int, digest: str = DIGEST) -> None:
    """The attempt's proof was signed by a session key, as the dispatcher leaves it."""
    async with world.ledger.transaction() as session:
        if await session.get(SessionKeyRow, digest) is None:
            session.add(
                SessionKeyRow(
                    digest=digest,
                    kind="tee.sgx",
                    program_id="0x" + "22" * 32,
                    prover_address="0x" + "33" * 20,
                    address="0x" + "44" * 20,
                    expiry=1 << 40,
                    document={"kind": "tee.sgx", "of": digest},
                    created_at=world.ledger.clock(),
                )
            )
        row = await session.merge(await world.attempt(attempt))
        row.session_key = digest
        session.add(row)


async def key_row(world: World, digest: str = DIGEST) -> SessionKeyRow:
    async with world.ledger.reading() as session:
        return await session.get_one(SessionKeyRow, digest)


async def steps(settlement: Settlement, count: int = 5) -> None:
    for _ in range(count):
        await settlement.step()


async def settled(world: World, settlement: Settlement, task: str) -> None:
    async def reached() -> bool:
        return (await world.task(task)).state in ("SETTLED", "FINAL")

    await world.until(settlement, reached)


async def ended(world: World, settlement: Settlement, attempt: int) -> None:
    async def reached() -> bool:
        return (await world.attempt(attempt)).state == "REJECTED"

    await world.until(settlement, reached)


def position(row: OutboxTxRow) -> tuple[int, int]:
    assert row.block_number is not None
    assert row.nonce is not None
    return row.block_number, row.nonce


async def test_a_proof_is_sent_after_its_key_is_registered(world: World) -> None:
    calls = Calls(world)
    settlement = world.settlement(session_keys=calls)
    task, attempt = await world.ready_attempt(settlement, "one")
    calls.error = Unavailable("W3B-5001", "the verifier is not mined yet")
    await world.prove(attempt)
    await sign_with(world, attempt)
    await steps(settlement)
    assert (await world.outbox(PURPOSE), await world.outbox("settle")) == ([], [])
    assert len(calls.asked) >= 5, "asked again in each round"
    assert settlement.healthy
    calls.error = None
    await settled(world, settlement, task)
    (registered,), (sent,) = await world.outbox(PURPOSE), await world.outbox("settle")
    assert position(registered) < position(sent)
    assert registered.to == calls.to
    assert registered.dedupe_key == f"{PURPOSE}:{calls.to.lower()}:{DIGEST}"
    assert (await key_row(world)).register_tx == registered.id
    assert calls.asked[-1] == {"kind": "tee.sgx", "of": DIGEST}


async def test_a_key_is_registered_once_for_all_its_proofs(world: World) -> None:
    calls = Calls(world)
    settlement = world.settlement(session_keys=calls)
    await world.add_prover("two", ZKP)
    ready = [await world.ready_attempt(settlement, name) for name in ("one", "two")]
    for _, attempt in ready:
        await world.prove(attempt)
        await sign_with(world, attempt)
    for task, _ in ready:
        await settled(world, settlement, task)
    assert len(await world.outbox(PURPOSE)) == 1
    await steps(world.settlement(session_keys=calls))
    assert len(await world.outbox(PURPOSE)) == 1, "nor by a coordinator that starts anew"


async def test_without_anybody_who_knows_the_call_proofs_wait_and_others_do_not(world: World) -> None:
    settlement = world.settlement()
    await world.add_prover("two", ZKP)
    (waits, signed), (task, plain) = [await world.ready_attempt(settlement, name) for name in ("one", "two")]
    await world.prove(signed)
    await sign_with(world, signed)
    await world.prove(plain)
    await settled(world, settlement, task)
    await steps(settlement)
    assert ((await world.task(waits)).state, (await world.attempt(signed)).state) == ("SATISFIED", "PROVED")
    assert len(await world.outbox("settle")) == 1


@pytest.mark.parametrize(
    "error", [Refused("W3B-9107", "no anchor", field="quote.pck"), InvalidInput("W3B-9101", "cut")]
)
async def test_a_key_that_can_never_be_registered_takes_its_proofs_with_it(world: World, error: W3bstreamError) -> None:
    calls = Calls(world)
    calls.error = error
    settlement = world.settlement(session_keys=calls)
    task, attempt = await world.ready_attempt(settlement, "one")
    await world.prove(attempt)
    await sign_with(world, attempt)
    await ended(world, settlement, attempt)
    row = await world.attempt(attempt)
    assert (row.code, error.message in row.reason) == (error.code, True)
    assert (await world.task(task)).state == "OPEN"
    assert (await world.outbox(PURPOSE), await world.outbox("settle")) == ([], [])
    assert ((await key_row(world)).code, len(calls.asked)) == (error.code, 1), "nobody asks again"
    again = await world.assigned(settlement, task, "one", ZKP)
    await world.prove(again)
    await sign_with(world, again)
    await ended(world, settlement, again)
    assert (await world.attempt(again)).code == error.code
    async with world.ledger.reading() as session:
        events = (await session.exec(select(TaskEventRow).where(TaskEventRow.task_id == task))).all()
    assert [each.code for each in events if each.target == "REJECTED"] == [error.code] * 2


async def test_a_registration_that_the_chain_refuses_takes_its_proofs_with_it(world: World) -> None:
    calls = Calls(world, data=b.register_verifying_key(b"no key"))
    settlement = world.settlement(session_keys=calls)
    task, attempt = await world.ready_attempt(settlement, "one")
    await world.prove(attempt)
    await sign_with(world, attempt)
    await ended(world, settlement, attempt)
    (registered,) = await world.outbox(PURPOSE)
    assert (registered.state, registered.code) == ("REFUSED", "W3B-5002")
    row, key = await world.attempt(attempt), await key_row(world)
    assert (row.code, key.code, key.register_tx) == ("W3B-5002", "W3B-5002", registered.id)
    assert (await world.task(task)).state == "OPEN"
    assert await world.outbox("settle") == []


class Registrations:
    """A real TEE verifier whose committee is one account, and registrations of session keys with it."""

    def __init__(self, world: World, url: str) -> None:
        self._world = world
        web3, account = Web3(HTTPProvider(url)), Account.from_key(RICH)
        members = [bytes.fromhex(account.address[2:])]
        self.adapter = deploy_committee(web3, account, "tee.sgx", members, 1, simulated=True)
        self.verifier = deploy_tee_verifier(web3, account, world.deployment.router, self.adapter)
        self.program_id = tee_program_id("tee.sgx", bytes(32))
        self.sent: dict[str, bytes] = {}

    async def call(self, document: Mapping[str, Any]) -> Registering:
        return Registering(self.verifier, self.sent[document["of"]])

    async def key(self, nonce: bytes) -> SessionKey:
        """A key that lives for an hour of the chain's time."""
        now = (await self._world.chain.block("latest")).timestamp
        return SessionKey(os.urandom(64), self.program_id, b"\x33" * 20, nonce, now + 3600)

    async def add(self, key: SessionKey) -> str:
        """Its row, as the dispatcher leaves it, and the call that registers it; its digest."""
        chain_id, domain = self._world.deployment.chain_id, self._domain
        caller = register_key(Platform.SGX, domain, key)["report_data"] or b""
        said = Appraised("tee.sgx", bytes(32), caller, key.expiry, simulated=True)
        adapter = bytes.fromhex(self.adapter[2:])
        evidence = said.evidence(chain_id, adapter, [sign(said.digest(chain_id, adapter), RICH)])
        digest = "0x" + key.digest(domain).hex()
        self.sent[digest] = register_session_key(key, evidence)
        async with self._world.ledger.transaction() as session:
            session.add(
                SessionKeyRow(
                    digest=digest,
                    kind="tee.sgx",
                    program_id="0x" + key.program_id.hex(),
                    prover_address="0x" + key.prover.hex(),
                    address="0x" + key_address(key.public_key).hex(),
                    expiry=key.expiry,
                    document={"of": digest},
                    created_at=self._world.ledger.clock(),
                )
            )
        return digest

    @property
    def _domain(self) -> Domain:
        return Domain(self._world.deployment.chain_id, self._world.deployment.router_bytes())

    async def known(self, key: SessionKey) -> Registration:
        call = call_session_key_of(key.program_id, key.prover, key_address(key.public_key))
        return decode_session_key_of(await self._world.chain.call(self._world.signer.address, self.verifier, call))


async def test_a_key_that_the_verifier_knows_already_counts_as_registered(world: World, node: L1) -> None:
    """A ledger that was restored has forgotten its registration; the verifier takes a nonce once."""
    calls = await asyncio.to_thread(Registrations, world, node.url)
    settlement = world.settlement(session_keys=calls)
    task, attempt = await world.ready_attempt(settlement, "one")
    key = await calls.key(os.urandom(32))
    digest = await calls.add(key)
    await transfer(world.chain, RICH, calls.verifier, calls.sent[digest])
    assert (await calls.known(key)).expiry == key.expiry
    await world.prove(attempt)
    await sign_with(world, attempt, digest)
    await settled(world, settlement, task)
    (registered,) = await world.outbox(PURPOSE)
    assert (registered.state in ("MINED", "SAFE", "FINAL"), registered.nonce) == (True, None)
    assert (await key_row(world, digest)).code == ""


async def test_a_key_whose_nonce_another_key_has_used_is_refused(world: World, node: L1) -> None:
    calls = await asyncio.to_thread(Registrations, world, node.url)
    settlement = world.settlement(session_keys=calls)
    _, attempt = await world.ready_attempt(settlement, "one")
    first = await calls.key(os.urandom(32))
    await transfer(world.chain, RICH, calls.verifier, calls.sent[await calls.add(first)])
    second = await calls.key(first.nonce)
    digest = await calls.add(second)
    await world.prove(attempt)
    await sign_with(world, attempt, digest)
    await ended(world, settlement, attempt)
    assert (await calls.known(second)).expiry == 0
    row = await key_row(world, digest)
    assert (row.code, "NonceUsed" in row.reason) == ("W3B-5002", True)
