"""What must hold: session keys of SGX and TDX are registered by their quotes where the chain has P-256, after their
collateral, which is brought once; elsewhere the committee speaks for them, and a kind keeps the route that it has."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from eth_hash.auto import keccak

from coordinator.ledger.outbox_tables import OutboxTxRow, SessionKeyRow
from coordinator.ledger.outboxes import enqueue_tx
from coordinator.settlement.chain import JsonRpcChain
from coordinator.settlement.dcap_collateral import CollateralStore
from coordinator.settlement.service import Settlement
from coordinator.settlement.session_keys import SessionKeyCalls
from coordinator.settlement.tee_contracts import COMMITTEE, DCAP, TeeContract, TeeContracts
from provers.tee.measurement import Measured
from provers.tee.simulation.attester import Attested
from provers.tee.simulation.vendors import SimulatedVendors
from tests.settlement.settlement_world import Anvil, World
from verifier import dcap_calldata
from verifier.attestation.binding import SessionKey, register_key
from verifier.attestation.evidence import Platform
from verifier.attestation.identity import artifact, kind_of, tee_program_id
from verifier.attestation.registration import Attachment, Registration
from verifier.bindings.abi import decode_result, encode_call
from verifier.bindings.tee import call_session_key_of, decode_session_key_of
from verifier.errors import Refused, Unavailable, W3bstreamError
from verifier.statement import Domain
from verifier.tee import key_address

pytestmark = pytest.mark.parametrize("node", ["l1"], indirect=True)
ONE_LEDGER = pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
MEASURED = Measured(*(keccak(each) for each in (b"runtime", b"program", b"configuration")))
DAY = 86_400
_provers = itertools.count(1)


@pytest.fixture(scope="module")
def vendors(tmp_path_factory: pytest.TempPathFactory) -> SimulatedVendors:
    return SimulatedVendors.open(tmp_path_factory.mktemp("vendors"))


@dataclass
class Enclaves:
    """Keys of simulated machines, and the contracts that verify them."""

    world: World
    vendors: SimulatedVendors
    calls: SessionKeyCalls = field(init=False)
    contracts: TeeContracts = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    @property
    def domain(self) -> Domain:
        return Domain(self.world.deployment.chain_id, self.world.deployment.router_bytes())

    def restart(self) -> Settlement:
        """A settlement as a fresh process makes it."""
        world, anchors = self.world, self.vendors.anchors
        member = world.signer.address
        self.contracts = TeeContracts(world.ledger, world.chain, world.deployment, member=member, anchors=anchors)
        self.calls = SessionKeyCalls(self.contracts, world.chain, world.signer, self.domain, anchors=anchors)
        return world.settlement(session_keys=self.calls)

    async def deployed(self, settlement: Settlement, platform: Platform) -> TeeContract:
        made = asyncio.create_task(self.contracts.of(kind_of(platform)))

        async def done() -> bool:
            return made.done()

        await self.world.until(settlement, done, 60)
        return await made

    def attest(self, platform: Platform, key: SessionKey, at: int, vendors: SimulatedVendors | None = None) -> Attested:
        attester = (vendors or self.vendors).attester(platform)
        return attester.attest(MEASURED, register_key(platform, self.domain, key), now=at)

    def key(self, platform: Platform, lifetime: int = 3600) -> SessionKey:
        measurements = self.vendors.attester(platform).measurements(MEASURED)
        program = tee_program_id(kind_of(platform), artifact(platform, measurements))
        prover = next(_provers).to_bytes(20, "big")
        return SessionKey(os.urandom(64), program, prover, os.urandom(32), int(time.time()) + lifetime)

    async def add(self, platform: Platform, key: SessionKey, made: Attested | None = None) -> str:
        """The key's row, as the dispatcher leaves it; its digest."""
        found = made or self.attest(platform, key, int(time.time()))
        document = Registration(kind_of(platform), key, Attachment(found.evidence, found.endorsements)).to_json()
        digest = "0x" + key.digest(self.domain).hex()
        async with self.world.ledger.transaction() as session:
            session.add(
                SessionKeyRow(
                    digest=digest,
                    kind=kind_of(platform),
                    program_id="0x" + key.program_id.hex(),
                    prover_address="0x" + key.prover.hex(),
                    address="0x" + key_address(key.public_key).hex(),
                    expiry=key.expiry,
                    document=document,
                    created_at=self.world.ledger.clock(),
                )
            )
        return digest

    async def row(self, digest: str) -> SessionKeyRow:
        async with self.world.ledger.reading() as session:
            return await session.get_one(SessionKeyRow, digest)

    async def tx(self, digest: str) -> OutboxTxRow | None:
        number = (await self.row(digest)).register_tx
        return next((row for row in await self.world.outbox() if row.id == number), None)

    async def until(self, settlement: Settlement, *digests: str, state: str = "FINAL") -> None:
        async def reached() -> bool:
            rows = [await self.tx(each) for each in digests]
            return all(row is not None and row.state == state for row in rows)

        await self.world.until(settlement, reached)

    async def expiry(self, verifier: str, key: SessionKey) -> int:
        call = call_session_key_of(key.program_id, key.prover, key_address(key.public_key))
        answer = await self.world.chain.call(self.world.signer.address, verifier, call)
        return decode_session_key_of(answer).expiry

    async def says(self, contract: str, address: str, function: str) -> Any:
        answer = await self.world.chain.call(self.world.signer.address, address, encode_call(contract, function))
        return decode_result(contract, function, answer)[0]


@pytest.fixture
def enclaves(world: World, vendors: SimulatedVendors) -> Enclaves:
    return Enclaves(world, vendors)


def place(row: OutboxTxRow) -> tuple[int, int]:
    assert row.block_number is not None
    assert row.nonce is not None
    return row.block_number, row.nonce


async def test_keys_are_registered_by_their_quotes_after_collateral_that_is_brought_once(enclaves: Enclaves) -> None:
    world, settlement = enclaves.world, enclaves.restart()
    sgx = await enclaves.deployed(settlement, Platform.SGX)
    assert (sgx.route, await enclaves.says("DcapAttestation", sgx.attestation, "route")) == (DCAP, "dcap")
    assert await enclaves.says("DcapCollateral", sgx.store, "isSimulated") is True
    keys = [enclaves.key(Platform.SGX) for _ in range(2)]
    digests = [await enclaves.add(Platform.SGX, key) for key in keys]
    await enclaves.until(settlement, *digests)
    (brought,) = await world.outbox("store_collateral")
    sent = [await enclaves.tx(each) for each in digests]
    assert all(row is not None and place(brought) < place(row) for row in sent)
    assert [row.after_tx for row in sent if row is not None and row.after_tx is not None] == [brought.id]
    assert [await enclaves.expiry(sgx.verifier, key) for key in keys] == [key.expiry for key in keys]

    settlement = enclaves.restart()
    later = await enclaves.add(Platform.SGX, enclaves.key(Platform.SGX))
    await enclaves.until(settlement, later)
    assert len(await world.outbox("store_collateral")) == 1, "a coordinator that starts anew brings nothing again"
    assert await enclaves.contracts.deployed("tee.sgx") == sgx

    tdx = await enclaves.deployed(settlement, Platform.TDX)
    assert (tdx.route, tdx.store) == (DCAP, sgx.store)
    digest = await enclaves.add(Platform.TDX, enclaves.key(Platform.TDX))
    await enclaves.until(settlement, digest)
    _, more = await world.outbox("store_collateral")
    assert len(more.data) < len(brought.data), "the lists and the machine's certificate are the store's already"


@ONE_LEDGER
async def test_evidence_of_something_else_registers_nothing(enclaves: Enclaves, tmp_path: Path) -> None:
    settlement = enclaves.restart()
    contract = await enclaves.deployed(settlement, Platform.SGX)
    now, platform = int(time.time()), Platform.SGX
    swapped, stranger = enclaves.key(platform), enclaves.key(platform)
    first = await enclaves.add(platform, swapped, enclaves.attest(platform, enclaves.key(platform), now))
    await enclaves.until(settlement, first, state="REFUSED")
    row = await enclaves.row(first)
    assert (row.code, "CallerDataMismatch" in row.reason) == ("W3B-5002", True)
    other = enclaves.attest(platform, stranger, now, SimulatedVendors.open(tmp_path / "other"))
    second = await enclaves.add(platform, stranger, other)
    for _ in range(3):
        await settlement.step()
    row = await enclaves.row(second)
    assert (row.code, row.register_tx) in {("W3B-9106", None), ("W3B-9107", None)}, row.reason
    assert len(await enclaves.world.outbox("store_collateral")) == 1
    assert [await enclaves.expiry(contract.verifier, key) for key in (swapped, stranger)] == [0, 0]


@ONE_LEDGER
async def test_collateral_that_ends_before_the_key_is_replaced_and_older_one_is_not_missed(enclaves: Enclaves) -> None:
    world, settlement, platform, now = enclaves.world, enclaves.restart(), Platform.SGX, int(time.time())
    contract = await enclaves.deployed(settlement, platform)
    short, long = enclaves.key(platform, 600), enclaves.key(platform, 3 * DAY)
    old, new = enclaves.attest(platform, short, now - 28 * DAY), enclaves.attest(platform, long, now)
    await enclaves.until(settlement, await enclaves.add(platform, short, old))
    await enclaves.until(settlement, await enclaves.add(platform, long, new))
    assert len(await world.outbox("store_collateral")) == 2
    assert await enclaves.expiry(contract.verifier, long) == long.expiry, "not the older collateral's end"

    # Another coordinator's newer collateral was there first: what is refused as older is not needed any more.
    quote = old.evidence.data
    late = enclaves.key(platform)
    late_row = await enclaves.add(platform, late)
    async with world.ledger.transaction() as session:
        await enqueue_tx(
            session,
            world.ledger.clock(),
            dedupe_key="store_collateral:older",
            purpose="store_collateral",
            to=contract.store,
            data=dcap_calldata.collateral_calls(quote, old.endorsements).together(),
            ref={"session_key": late_row, "pck": "0x" + dcap_calldata.evidence(quote)[:32].hex(), "tee": 0},
        )
    row = await world.until_tx(settlement, "store_collateral", "FINAL", "REFUSED")
    assert (row.state, row.nonce) == ("FINAL", None), row.reason
    await enclaves.until(settlement, late_row)


@ONE_LEDGER
async def test_collateral_from_the_future_waits_for_the_chains_clock(enclaves: Enclaves) -> None:
    world, platform, now = enclaves.world, Platform.TDX, int(time.time())
    contract = await enclaves.deployed(enclaves.restart(), platform)
    key = enclaves.key(platform)
    made = enclaves.attest(platform, key, now + 2 * DAY)
    data, endorsements = made.evidence.data, made.endorsements
    sender, nobody = world.signer.address, "0x" + "77" * 20
    cases: tuple[tuple[str, int, type[W3bstreamError], str], ...] = (
        (contract.store, now + 9, Unavailable, "W3B-5001.*clock"),
        (contract.store, 0, Refused, "W3B-9105"),
        (nobody, now, Unavailable, "W3B-5001.*no DcapCollateral"),
    )
    for store, clock, error, code in cases:
        with pytest.raises(error, match=code):
            await CollateralStore(world.chain, sender, store, partial(float, clock)).missing(
                data, endorsements, key.expiry
            )


@pytest.fixture
def before_osaka(tmp_path: Path) -> Iterator[JsonRpcChain]:
    """A chain without P-256 at 0x100."""

    class Prague(Anvil):
        def start(self) -> None:
            self._command[self._command.index("osaka")] = "prague"
            super().start()

    node = Prague(tmp_path)
    yield JsonRpcChain(node.url)
    node.stop()


@ONE_LEDGER
async def test_without_p256_the_committee_speaks_and_the_kind_keeps_that_route(
    enclaves: Enclaves, before_osaka: JsonRpcChain
) -> None:
    world = enclaves.world
    old = TeeContracts(
        world.ledger, before_osaka, world.deployment, member=world.signer.address, anchors=enclaves.vendors.anchors
    )
    for contracts, missing in ((old, "CommitteeAttestation"), (enclaves.contracts, "DcapCollateral")):
        with pytest.raises(Unavailable, match=f"{missing} is not deployed yet"):
            await contracts.deployed("tee.sgx")
    before = len(await world.outbox("deploy"))
    first = asyncio.create_task(old.of("tee.sgx"))
    while len(await world.outbox("deploy")) == before:
        await asyncio.sleep(0.01)
    first.cancel()
    await before_osaka.close()

    settlement = enclaves.restart()
    contract = await enclaves.deployed(settlement, Platform.SGX)
    assert (contract.route, contract.store) == (COMMITTEE, ""), "published versions name its verifier"
    key = enclaves.key(Platform.SGX)
    await enclaves.until(settlement, await enclaves.add(Platform.SGX, key))
    assert await enclaves.expiry(contract.verifier, key) == key.expiry
    assert await world.outbox("store_collateral") == []
