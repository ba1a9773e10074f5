"""Projects in the ledger: rows, outbox transactions with the right call data, and every refusal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio
from eth_abi.abi import decode
from eth_hash.auto import keccak
from sqlmodel import select

from coordinator.ledger.outbox_tables import OutboxTxRow, WebhookEndpointRow
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import ProjectVersionRow
from coordinator.projects import service
from coordinator.projects.example import example
from coordinator.projects.file import ProjectFile, parse_project_file
from coordinator.projects.programs import Manifest
from coordinator.webhooks.ssrf import UrlPolicy
from l1.contracts.abi import signature_of, types_of
from verifier.bindings import Deployment, abi_of
from verifier.errors import Conflict, InvalidInput, NotFound, Refused
from verifier.reading import DeviceKey, KeyType

PROGRAMS = {
    "temperature_window": Manifest("temperature_window", "zkp.groth16", 16, "int32", "poseidon-bn254-v1", "in-proof")
}
KEYS = [DeviceKey.from_private(KeyType.BABYJUBJUB, bytes([index + 1] * 32)) for index in range(3)]
OWNER = bytes.fromhex("11" * 20)
DEPLOYMENT = Deployment(7, 1, "0x" + "a1" * 20, "0x" + "a2" * 20, "0x" + "a3" * 20, "0x" + "a4" * 20, "0x" + "a5" * 20)
NOW = 1_700_000_000_000


@dataclass(frozen=True)
class Prepared:
    program_id: bytes = bytes([5] * 32)
    verifier: bytes = bytes([6] * 20)


@pytest_asyncio.fixture
async def ledger(ledger_url: str) -> AsyncIterator[Ledger]:
    made = Ledger(ledger_url, clock=lambda: NOW)
    yield made
    await made.close()


def project_file(name: str = "green-house", extra: str = "", devices: int = 2) -> ProjectFile:
    text = example(name, [key.registration() for key in KEYS[:devices]]) + extra
    return parse_project_file(text, PROGRAMS)


async def create(ledger: Ledger, name: str = "green-house") -> int:
    async with ledger.transaction() as session:
        project = await service.create_project(session, NOW, name, "key_1", deployment=DEPLOYMENT, owner=OWNER)
        assert project.id is not None
        return project.id


async def publish(ledger: Ledger, project_id: int, file: ProjectFile, **changes: Any) -> ProjectVersionRow:
    prepared = changes.get("prepared", {"zkp.groth16": Prepared()})
    policy = changes.get("policy", UrlPolicy())
    async with ledger.transaction() as session:
        return await service.publish_version(
            session,
            NOW,
            project_id,
            file,
            deployment=changes.get("deployment", DEPLOYMENT),
            prepared=prepared,
            webhooks=policy,
            da=changes.get("da", UrlPolicy()),
        )


async def rows(ledger: Ledger, table: Any) -> list[Any]:
    async with ledger.reading() as session:
        return list(await session.exec(select(table)))


async def set_state(ledger: Ledger, project_id: int, version: int, state: str) -> None:
    async with ledger.transaction() as session:
        row = await session.get(ProjectVersionRow, (project_id, version))
        assert row is not None
        row.state = state
        session.add(row)


async def test_a_project_is_created_on_chain_under_its_own_id(ledger: Ledger) -> None:
    await create(ledger, "first")
    project_id = await create(ledger)
    tx = (await rows(ledger, OutboxTxRow))[-1]
    assert (project_id, tx.purpose, tx.to, tx.ref) == (2, "create_project", DEPLOYMENT.registry, {"project_id": 2})
    assert tx.data[:4] == keccak(b"createProject(uint256,address)")[:4]
    assert decode(["uint256", "address"], tx.data[4:]) == (2, "0x" + OWNER.hex())


async def test_names(ledger: Ledger) -> None:
    await create(ledger)
    with pytest.raises(Conflict, match="W3B-2004"):
        await create(ledger)
    for name in ("ab", "Green", "a b c", "a" * 65, "name\n", ""):
        with pytest.raises(InvalidInput, match="W3B-2001"):
            await create(ledger, name)
    assert len(await rows(ledger, OutboxTxRow)) == 1


async def test_a_version_carries_what_the_file_says(ledger: Ledger) -> None:
    project_id = await create(ledger)
    file = project_file(extra="webhooks: [{url: 'https://hooks.example/a', events: [w3bstream.task.final]}]\n")
    version = await publish(ledger, project_id, file)
    assert (version.version, version.state, version.window_capacity, version.window_max_age_ms) == (
        1,
        "PENDING",
        16,
        30_000,
    )
    assert version.config_hash == "0x" + file.config_hash.hex()
    assert version.programs == [
        {
            "kind": "zkp.groth16",
            "name": "temperature_window",
            "program_id": "0x" + "05" * 32,
            "verifier": "0x" + "06" * 20,
        }
    ]
    async with ledger.reading() as session:
        devices = await service.list_devices(session, project_id, 1)
    assert [(row.position, row.device) for row in devices] == [
        (index, "0x" + KEYS[index].device.hex()) for index in range(2)
    ]
    create_tx, publish_tx = await rows(ledger, OutboxTxRow)
    assert (publish_tx.purpose, publish_tx.after_tx, version.publish_tx) == (
        "publish_version",
        create_tx.id,
        publish_tx.id,
    )
    program = "(string,bytes32,address)[]"
    struct = f"(uint32,bytes32,string,bytes32,bytes32,address,uint32,uint8,{program})"
    assert publish_tx.data[:4] == keccak(f"publishVersion(uint256,{struct})".encode())[:4]
    on_chain_id, words = decode(["uint256", struct], publish_tx.data[4:])
    assert on_chain_id == project_id
    assert words == (
        1,
        file.config_hash,
        "",
        file.device_set_root,
        keccak(b"poseidon-bn254-v1"),
        DEPLOYMENT.temperature_dapp,
        16,
        1,
        (("zkp.groth16", bytes([5] * 32), "0x" + "06" * 20),),
    )
    (endpoint,) = await rows(ledger, WebhookEndpointRow)
    assert (endpoint.url, endpoint.events) == ("https://hooks.example/a", ["w3bstream.task.final"])


async def test_a_file_chooses_how_its_webhooks_are_signed(ledger: Ledger) -> None:
    project_id = await create(ledger)
    hooks = [f"{{url: 'https://hooks.example/{name}', signing: {name}}}" for name in ("hmac", "ed25519", "both")] + [
        "{url: 'https://hooks.example/default'}"
    ]
    await publish(ledger, project_id, project_file(extra=f"webhooks: [{', '.join(hooks)}]\n"))
    found = {
        row.url.rsplit("/", 1)[1]: (bool(row.secret), bool(row.signing_key))
        for row in await rows(ledger, WebhookEndpointRow)
    }
    assert found == {"hmac": (True, False), "ed25519": (False, True), "both": (True, True), "default": (True, False)}
    # A later version changes nothing about an endpoint that is there: its keys are with its receiver.
    before = {row.url: (row.secret, row.signing_key) for row in await rows(ledger, WebhookEndpointRow)}
    await publish(
        ledger, project_id, project_file(extra="webhooks: [{url: 'https://hooks.example/hmac', signing: ed25519}]\n")
    )
    assert {row.url: (row.secret, row.signing_key) for row in await rows(ledger, WebhookEndpointRow)} == before


async def test_versions_follow_each_other_and_keep_their_endpoints(ledger: Ledger) -> None:
    project_id = await create(ledger)
    hook = "webhooks: [{url: 'https://hooks.example/a'}]\n"
    first = await publish(ledger, project_id, project_file(extra=hook))
    second = await publish(ledger, project_id, project_file(extra=hook, devices=3))
    txs = {tx.id: tx for tx in await rows(ledger, OutboxTxRow)}
    assert second.version == 2
    assert txs[second.publish_tx].after_tx == first.publish_tx
    assert first.device_set_root != second.device_set_root
    assert len(await rows(ledger, WebhookEndpointRow)) == 1
    # A version that the chain refused must not hold up the next one.
    await set_state(ledger, project_id, 2, "FAILED")
    third = await publish(ledger, project_id, project_file())
    txs = {tx.id: tx for tx in await rows(ledger, OutboxTxRow)}
    assert (third.version, txs[third.publish_tx].after_tx) == (3, first.publish_tx)
    async with ledger.reading() as session:
        assert [row.version for row in await service.list_versions(session, project_id)] == [1, 2, 3]
        assert [row.version for row in await service.list_versions(session, project_id, after=1, limit=1)] == [2]
        assert (await service.get_version(session, project_id, 3)).version == 3
        with pytest.raises(NotFound, match="W3B-2003"):
            await service.get_version(session, project_id, 4)


async def test_what_cannot_be_published_changes_nothing(ledger: Ledger) -> None:
    project_id = await create(ledger)
    with pytest.raises(InvalidInput, match=r"W3B-2001.*the project is 'green-house'"):
        await publish(ledger, project_id, project_file("other-name"))
    with pytest.raises(NotFound, match="W3B-2005"):
        await publish(ledger, project_id, project_file(), prepared={})
    with pytest.raises(NotFound, match="W3B-2002"):
        await publish(ledger, 99, project_file())
    with pytest.raises(InvalidInput, match="W3B-6001"):
        await publish(ledger, project_id, project_file(extra="webhooks: [{url: 'http://hooks.example/a'}]\n"))
    assert await rows(ledger, ProjectVersionRow) == []
    await publish(ledger, project_id, project_file())
    moved = project_file().text.replace("url: embedded", "url: nats://elsewhere:4222")
    with pytest.raises(InvalidInput, match="keeps its stream"):
        await publish(ledger, project_id, parse_project_file(moved, PROGRAMS))
    assert len(await rows(ledger, ProjectVersionRow)) == 1


async def test_independent_operators_are_asked_of_contracts_that_know_them(ledger: Ledger) -> None:
    programs = {
        name: Manifest(name, kind, 16, "int32", "poseidon-bn254-v1", "in-proof")
        for name, kind in (("temperature_window", "zkp.groth16"), ("enclave", "tee.sgx"))
    }
    lines = example("green-house", [KEYS[0].registration()]).split("\n")
    at = next(n for n, line in enumerate(lines) if "program: temperature_window" in line)
    lines.insert(at + 1, "  - {kind: tee.sgx, program: enclave}")
    text = "\n".join(lines).replace("assurance: zkp(groth16)", "assurance: 2 of [zkp, tee] by independent operators")
    file = parse_project_file(text, programs)
    project_id = await create(ledger)
    prepared = {"zkp.groth16": Prepared(), "tee.sgx": Prepared(program_id=bytes([7] * 32))}
    with pytest.raises(Refused, match="W3B-2008"):
        await publish(ledger, project_id, file, prepared=prepared)
    assert await rows(ledger, ProjectVersionRow) == []
    deployment = replace(DEPLOYMENT, generation=2)
    version = await publish(ledger, project_id, file, prepared=prepared, deployment=deployment)
    assert version.config["assurance"] == {"threshold": 2, "kinds": ["tee.sgx", "zkp.groth16"], "independent": True}
    tx = (await rows(ledger, OutboxTxRow))[-1]
    entry = next(each for each in abi_of("ProjectRegistry") if each.get("name") == "publishVersionWithPolicy")
    assert tx.data[:4] == keccak(signature_of(entry))[:4]
    number, on_chain, policy = decode(types_of(entry["inputs"]), tx.data[4:])
    assert (number, on_chain[7], [each[0] for each in on_chain[8]]) == (project_id, 2, ["zkp.groth16", "tee.sgx"])
    assert policy == (True, 0, bytes(32))


async def test_a_second_stage_is_asked_of_contracts_that_know_it(ledger: Ledger) -> None:
    programs = {
        name: Manifest(name, kind, 16, "int32", "poseidon-bn254-v1", "in-proof")
        for name, kind in (("temperature_window", "zkp.groth16"), ("enclave", "tee.sgx"))
    }
    text = example("green-house", [KEYS[0].registration()]).replace(
        "program: temperature_window\n", "program: temperature_window\n  - {kind: tee.sgx, program: enclave}\n"
    )
    file = parse_project_file(text.replace("assurance: zkp(groth16)", "assurance: tee now, zkp within 1h"), programs)
    prepared = {"zkp.groth16": Prepared(), "tee.sgx": Prepared(program_id=bytes([7] * 32))}
    project_id = await create(ledger)
    with pytest.raises(Refused, match=r"W3B-2008.*second stage"):
        await publish(ledger, project_id, file, prepared=prepared)
    version = await publish(ledger, project_id, file, prepared=prepared, deployment=replace(DEPLOYMENT, generation=2))
    form = {"threshold": 1, "kinds": ["tee.sgx"], "confirm": "zkp.groth16", "confirm_within": 3600}
    assert version.config["assurance"] == form
    entry = next(each for each in abi_of("ProjectRegistry") if each.get("name") == "publishVersionWithPolicy")
    _, on_chain, policy = decode(types_of(entry["inputs"]), (await rows(ledger, OutboxTxRow))[-1].data[4:])
    assert (on_chain[7], len(on_chain[8])) == (1, 2)
    assert policy == (False, 3600, keccak(b"zkp.groth16"))


async def test_pause_and_resume_are_mined_in_their_order(ledger: Ledger) -> None:
    project_id = await create(ledger)
    for call in (service.pause_project, service.pause_project, service.resume_project, service.pause_project):
        async with ledger.transaction() as session:
            project = await call(session, NOW, project_id, DEPLOYMENT)
    assert project.state == "PAUSED"
    txs = await rows(ledger, OutboxTxRow)
    assert [tx.purpose for tx in txs] == ["create_project", "pause", "resume", "pause"]
    assert [tx.after_tx for tx in txs] == [None, txs[0].id, txs[1].id, txs[2].id]
    assert txs[1].data == keccak(b"pause(uint256)")[:4] + project_id.to_bytes(32, "big")
    assert txs[2].data == keccak(b"resume(uint256)")[:4] + project_id.to_bytes(32, "big")
    async with ledger.transaction() as session:
        with pytest.raises(NotFound, match="W3B-2002"):
            await service.pause_project(session, NOW, 99, DEPLOYMENT)


async def test_listing_in_pages(ledger: Ledger) -> None:
    for index in range(5):
        await create(ledger, f"project-{index}")
    async with ledger.reading() as session:
        first = await service.list_projects(session, limit=2)
        rest = await service.list_projects(session, after=first[-1].id or 0)
        assert [row.id for row in first + rest] == [1, 2, 3, 4, 5]
        assert [row.id for row in await service.list_projects(session, only=3)] == [3]
        assert len(await service.list_projects(session, limit=0)) == 1


async def test_a_da_url_to_a_forbidden_address_is_refused_when_published(ledger: Ledger) -> None:
    project_id = await create(ledger)
    text = project_file().text
    file = parse_project_file(text.replace("url: embedded", "url: nats://169.254.169.254:80"), PROGRAMS)
    with pytest.raises(Refused, match="W3B-1013"):
        await publish(ledger, project_id, file)
    inside = parse_project_file(text.replace("url: embedded", "url: nats://10.0.0.5:4222"), PROGRAMS)
    with pytest.raises(Refused, match="W3B-1013"):
        await publish(ledger, project_id, inside)
    assert await rows(ledger, ProjectVersionRow) == []
    assert (await publish(ledger, project_id, inside, da=UrlPolicy(allow_private=True))).version == 1
