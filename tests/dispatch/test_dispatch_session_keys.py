"""A proof that a session key signed: the key's registration is admitted first, and recorded with it, once a key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from dispatch_world import DOMAIN, Chain, Service, World, background
from sqlmodel import col, select

from coordinator.dispatch.inline_pool import InlinePool
from coordinator.dispatch.proving_task import Wanted, load_proving_tasks, to_hex
from coordinator.dispatch.version_terms import VersionBook
from coordinator.ledger.outbox_tables import SessionKeyRow
from coordinator.ledger.session_keys import NewSessionKey, add_session_keys
from provers.protocol import ProvingTask, RefusedKey
from verifier.attestation.registration import Registration
from verifier.tee import key_address

KEYED = "tee.sgx"


@asynccontextmanager
async def installed(folder: Path, ledger_url: str, *kinds: str, threshold: int = 1) -> AsyncIterator[Service]:
    world = World(folder, kinds, workers=1, ledger_url=ledger_url)
    await world.create()
    await world.project(threshold=threshold)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(background(Chain(world.ledger).run()))
        yield Service(world, stack)
    await world.ledger.close()


@pytest.fixture
async def keyed(tmp_path: Path, ledger_url: str) -> AsyncIterator[Service]:
    async with installed(tmp_path, ledger_url, KEYED) as service:
        yield service


async def keys(world: World) -> list[SessionKeyRow]:
    async with world.ledger.reading() as session:
        return list(await session.exec(select(SessionKeyRow).order_by(col(SessionKeyRow.created_at))))


async def test_the_key_is_recorded_with_the_first_proof_that_it_signed(keyed: Service) -> None:
    world = keyed.world
    await keyed.start(InlinePool())
    names = [await world.task() for _ in range(3)]
    for name in names:
        await world.reach(name, "SATISFIED")
    (row,) = await keys(world)
    registration = Registration.from_json(row.document)
    key = registration.key
    assert row.digest == to_hex(key.digest(DOMAIN))
    attempts = [attempt for name in names for attempt in await world.attempts(name)]
    assert {(each.state, each.session_key) for each in attempts} == {("PROVED", row.digest)}
    assert (row.kind, row.program_id, row.prover_address) == (KEYED, attempts[0].program_id, to_hex(key.prover))
    assert row.prover_address == attempts[0].prover_address
    assert (row.address, row.expiry) == (to_hex(key_address(key.public_key)), key.expiry)
    assert (row.register_tx, row.code, row.reason) == (None, "", "")


async def test_other_kinds_have_no_key(tmp_path: Path, ledger_url: str) -> None:
    async with installed(tmp_path, ledger_url, "test.hash") as service:
        await service.start(InlinePool())
        name = await service.world.task()
        await service.world.reach(name, "SATISFIED")
        assert [each.session_key for each in await service.world.attempts(name)] == [""]
        assert await keys(service.world) == []


async def test_a_proof_that_needs_a_closer_look_brings_its_key_too(tmp_path: Path, ledger_url: str) -> None:
    """Two outputs: the batch is taken in as a transaction, not in one step."""
    async with installed(tmp_path, ledger_url, KEYED, "test.other", threshold=2) as service:
        world = service.world
        world.behave("liar", "test.other")
        (world.programs["test.other"].folder / "credulous").touch()
        await service.start(InlinePool())
        name = await world.task(threshold=2)
        await world.reach(name, "FROZEN")
        (row,) = await keys(world)
        assert {each.kind: each.session_key for each in await world.attempts(name)} == {
            KEYED: row.digest,
            "test.other": "",
        }


@pytest.mark.parametrize(
    ("how", "code", "words"),
    [
        ("none", "W3B-4015", "no session key"),
        ("alien", "W3B-4081", "a registration (dict)"),
        ("cut", "W3B-9101", "quote"),
        ("forged", "W3B-9106", "sgx"),
        ("unjson", "W3B-4081", "TypeError"),
        ("other", "W3B-4081", "another prover's key"),
        ("huge", "W3B-4081", "bytes of evidence"),
    ],
)
async def test_a_registration_that_is_not_admitted_is_no_proof(keyed: Service, how: str, code: str, words: str) -> None:
    world = keyed.world
    (world.programs[KEYED].folder / "registration").write_text(how)
    await keyed.start(InlinePool())
    name = await world.task()
    await world.reach(name, "FAILED")
    attempts = await world.attempts(name)
    assert {(each.state, each.code, each.session_key) for each in attempts} == {("REJECTED", code, "")}
    assert all(words in each.reason for each in attempts), attempts[0].reason
    assert await keys(world) == []


async def test_a_key_that_the_chain_refused_signs_nothing_more(keyed: Service) -> None:
    world = keyed.world
    await keyed.start(InlinePool())
    await world.reach(await world.task(), "SATISFIED")
    (first,) = await keys(world)
    async with world.ledger.transaction() as session:
        session.add(await session.merge(SessionKeyRow(**first.model_dump() | {"code": "W3B-5002", "reason": "no"})))
    name = await world.task()
    await world.reach(name, "SATISFIED")
    (attempt,) = await world.attempts(name)
    assert {first.digest, attempt.session_key} == {each.digest for each in await keys(world)}
    assert attempt.session_key != first.digest

    key = RefusedKey(bytes.fromhex(first.address[2:]), first.expiry, "W3B-5002: no")
    wanted = Wanted(name, attempt.program_id, attempt.prover_address, KEYED)
    others = (replace(wanted, kind=""), replace(wanted, prover_address="0x" + "66" * 20))
    tasks = await world.ledger.read(
        lambda connection: load_proving_tasks(connection, DOMAIN, VersionBook(), [wanted, *others])
    )
    assert [each.refused_keys for each in tasks if isinstance(each, ProvingTask)] == [(key,), (key,), ()]


async def test_a_key_is_written_once_whatever_comes_later(keyed: Service) -> None:
    world = keyed.world
    first = NewSessionKey("0x01", KEYED, "0x02", "0x03", "0x04", 5, {"first": True})
    second = NewSessionKey("0x02", KEYED, "0x02", "0x03", "0x04", 5, {})
    again = NewSessionKey("0x01", KEYED, "0x02", "0x03", "0x04", 6, {"first": False})
    for batch in ([first, again], [again, second], [], [second]):
        await world.ledger.write(lambda connection, batch=batch: add_session_keys(connection, 1, batch))
    found = {row.digest: row for row in await keys(world)}
    assert set(found) == {"0x01", "0x02"}
    assert (found["0x02"].expiry, found["0x02"].document) == (5, {})
