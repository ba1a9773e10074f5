"""The contracts that verify TEE kinds: deployed through the outbox when a kind is first needed.

Each step is an outbox row whose dedupe key is its creation code: a crash between two steps resumes at the next one, a
second coordinator finds the first one's, and where a contract is follows from its row's account and nonce.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import structlog
from eth_abi.abi import encode
from eth_hash.auto import keccak
from sqlmodel import select

from coordinator.ledger.outbox_tables import OutboxTxRow
from coordinator.ledger.outboxes import enqueue_tx
from coordinator.ledger.store import Ledger
from coordinator.settlement import outbox
from coordinator.settlement.chain import Chain, Reverted, RpcRefused
from coordinator.settlement.deployment import created_address
from coordinator.settlement.many_chains import agreed
from verifier.attestation.anchors import SimulatedAnchors
from verifier.attestation.evidence import Platform
from verifier.attestation.identity import KIND_PREFIX, kind_of
from verifier.attestation.policy import TcbPolicy
from verifier.bindings import Deployment, abi_of, bytecode_of, decode_revert
from verifier.bindings.tee import MAX_LIFETIME, SevSnpPolicy
from verifier.dcap_calldata import ADAPTER, STORE, adapter_arguments
from verifier.errors import NotFound, Refused, Unavailable

log = structlog.get_logger(__name__)
NATIVE, DCAP, COMMITTEE = "native", "dcap", "committee"
"""Routes, as `IAttestation.route` says them."""
PRECOMPILES = {Platform.SEV_SNP: 0x573302, Platform.NITRO: 0x573303}
"""Native verifiers of our L1 (docs/reference/precompiles.md)."""
QUOTES = frozenset({Platform.SGX, Platform.TDX})
"""Verified in Solidity where the chain has the P-256 precompile (docs/reference/dcap-on-chain.md)."""
KINDS = frozenset(kind_of(each) for each in Platform if each is not Platform.SEV)
"""TEE kinds that settle. Legacy SEV is left out: its evidence carries what the host chose, so that it binds no key."""
NITRO_MAX_AGE = 3600
"""Seconds that a Nitro document may be old when its key is registered; its certificates live for three hours."""
_POLL_SECONDS = 0.1
Anchors = Callable[[Platform], SimulatedAnchors]
"""Opens the simulated roots that evidence of a platform is appraised under; the first time may take seconds."""
Create = Callable[[str, Sequence[Any]], Awaitable[str]]
"""The address of a contract by its name and constructor arguments."""


@dataclass(frozen=True)
class TeeContract:
    """What verifies one kind."""

    kind: str
    route: str
    """`native`: the chain's precompile verifies evidence; `dcap`: a contract does; `committee`: the coordinator's own
    account says that it did."""
    attestation: str
    """The adapter's address, 0x hex."""
    verifier: str
    """TeeVerifier's address, 0x hex."""
    store: str = ""
    """DcapCollateral's address on route `dcap`, 0x hex; empty elsewhere."""


class TeeContracts:
    """Finds or deploys the contracts of this installation's simulated vendors.

    Parameters: `member` is the account that speaks for evidence where the chain cannot verify it, 0x hex.
    """

    def __init__(
        self,
        ledger: Ledger,
        chain: Chain,
        deployment: Deployment,
        *,
        member: str,
        anchors: Anchors,
    ) -> None:
        self._ledger = ledger
        self._chain = agreed(chain)  # which route a kind goes is not taken back
        self._deployment = deployment
        self._member = member
        self._anchors = anchors
        self._found: dict[str, TeeContract] = {}

    async def of(self, kind: str) -> TeeContract:
        """The contracts of a kind, deployed by now: the sender of transactions must run.

        Raises NotFound (W3B-4001) for a kind that has none, Refused (W3B-5002) when a step is refused, Unavailable
        (W3B-5001) when the chain does not answer.
        """
        return await self._get(kind, self._created)

    async def deployed(self, kind: str) -> TeeContract:
        """The same for the sender itself, who must not wait for his own work.

        Raises Unavailable (W3B-5001) where they are not deployed yet.
        """
        return await self._get(kind, self._existing)

    async def _get(self, kind: str, create: Create) -> TeeContract:
        if kind not in KINDS:
            raise NotFound("W3B-4001", f"there is no on-chain verifier for {kind}", field="kind")
        if kind not in self._found:
            self._found[kind] = await self._contracts(Platform(kind.removeprefix(KIND_PREFIX)), create)
        return self._found[kind]

    async def _contracts(self, platform: Platform, create: Create) -> TeeContract:
        kind, store = kind_of(platform), ""
        committee = [kind, True, [self._member], 1]
        if platform in PRECOMPILES and await self._has_precompile(PRECOMPILES[platform]):
            route = NATIVE
            anchors = await asyncio.to_thread(self._anchors, platform)
            roots = [each.sha256 for each in anchors.of(platform)]
            name, limits = {
                Platform.SEV_SNP: ("SevSnpAttestation", astuple(SevSnpPolicy())),
                Platform.NITRO: ("NitroAttestation", NITRO_MAX_AGE),
            }[platform]
            attestation = await create(name, [roots, limits])
        elif platform in QUOTES and (root := await self._quotes_root(platform, committee)):
            route = DCAP
            store = await create(STORE, [root])
            attestation = await create(ADAPTER, [store, *adapter_arguments(platform, TcbPolicy())])
        else:
            route = COMMITTEE
            attestation = await create("CommitteeAttestation", committee)
        verifier = await create("TeeVerifier", [self._deployment.router, attestation, MAX_LIFETIME])
        log.info("tee_verifier", kind=kind, route=route, attestation=attestation, verifier=verifier, simulated=True)
        return TeeContract(kind, route, attestation, verifier, store)

    async def _quotes_root(self, platform: Platform, committee: Sequence[Any]) -> bytes:
        """The root certificate, DER, under which the chain verifies the platform's quotes; empty where it cannot.

        A kind keeps the route that it has: published versions name its verifier. The store's own creation tells whether
        the chain has P-256, for it checks the root's signature.
        """
        if await self._is_known("CommitteeAttestation", committee):
            return b""
        anchors = await asyncio.to_thread(self._anchors, platform)
        (root,) = (each.der for each in anchors.of(platform))
        if not await self._is_known(STORE, [root]):
            try:
                await self._chain.call(self._member, "", _creation(STORE, [root]))
            except Reverted as error:
                why = str(decode_revert(error.data))
                log.warning("no_dcap", kind=kind_of(platform), route=COMMITTEE, why=f"no P-256 at 0x100: {why}")
                return b""
        return root

    async def _is_known(self, contract: str, arguments: Sequence[Any]) -> bool:
        """Whether the contract is deployed or on its way."""
        row = await self._row(contract, arguments)
        return row is not None and row.state != "REFUSED"

    async def _has_precompile(self, number: int) -> bool:
        """An empty input is malformed to the precompile, and nothing to an account without code."""
        try:
            await self._chain.call(self._member, f"0x{number:040x}", b"")
        except (Reverted, RpcRefused):
            return True
        return False

    async def _created(self, contract: str, arguments: Sequence[Any]) -> str:
        """Where the contract with these constructor arguments is, made where it is not. Raises Refused (W3B-5002)."""
        data = _creation(contract, arguments)
        async with self._ledger.transaction() as session:
            tx = await enqueue_tx(
                session,
                self._ledger.clock(),
                dedupe_key=self._key(contract, data),
                purpose="deploy",
                to="",
                data=data,
                ref={"step": contract},
            )
        while True:
            async with self._ledger.reading() as session:
                row = await session.get_one(OutboxTxRow, tx)
            if address := _address(row):
                return address
            if row.state == "REFUSED":
                raise Refused("W3B-5002", f"the deployment of {contract} was refused: {row.reason}")
            await asyncio.sleep(_POLL_SECONDS)

    async def _existing(self, contract: str, arguments: Sequence[Any]) -> str:
        row = await self._row(contract, arguments)
        address = "" if row is None else _address(row)
        if not address:
            raise Unavailable("W3B-5001", f"{contract} is not deployed yet")
        return address

    async def _row(self, contract: str, arguments: Sequence[Any]) -> OutboxTxRow | None:
        key = self._key(contract, _creation(contract, arguments))
        async with self._ledger.reading() as session:
            return (await session.exec(select(OutboxTxRow).where(OutboxTxRow.dedupe_key == key))).first()

    def _key(self, contract: str, data: bytes) -> str:
        return f"deploy:{self._deployment.chain_id}:{contract}:{keccak(data).hex()}"


def _address(row: OutboxTxRow) -> str:
    """What a mined creation created; empty before."""
    if row.state not in outbox.DONE_STATES or row.nonce is None:
        return ""
    return created_address(row.sender, row.nonce)


def _creation(contract: str, arguments: Sequence[Any]) -> bytes:
    inputs: list[dict[str, Any]] = next(each["inputs"] for each in abi_of(contract) if each["type"] == "constructor")
    return bytecode_of(contract) + encode([_type(each) for each in inputs], list(arguments))


def _type(found: dict[str, Any]) -> str:
    """An input's type as eth-abi writes it: structs by their components."""
    if not found["type"].startswith("tuple"):
        return str(found["type"])
    inner = ",".join(_type(each) for each in found["components"])
    return f"({inner}){found['type'].removeprefix('tuple')}"
