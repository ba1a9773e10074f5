"""Finds the contracts on the chain that the ledger belongs to, or deploys them through the outbox.

Each step of a deployment is an outbox row with a dedupe key of its own: a crash between two steps resumes at the next
one, and no step is ever sent twice. Constructor arguments are the addresses that the steps before it created; they
follow from the account and its nonces, so that no server's word is taken for them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any, TypeVar

import structlog
from eth_abi.abi import encode
from eth_hash.auto import keccak
from eth_utils.address import to_checksum_address
from sqlmodel import select

from coordinator.ledger.outbox_tables import DeploymentRow, OutboxTxRow
from coordinator.ledger.outboxes import enqueue_tx
from coordinator.ledger.store import Ledger
from coordinator.settlement import outbox
from coordinator.settlement.chain import Chain, Reverted
from coordinator.settlement.effects import Effects
from coordinator.settlement.finality import Finality
from coordinator.settlement.sender import TxSender
from coordinator.settlement.sending import SenderLimits
from coordinator.settlement.signer import Signer
from verifier.bindings import (
    Deployment,
    abi_of,
    bytecode_of,
    call_is_production,
    decode_is_production,
    encode_call,
)
from verifier.bindings.deployment import GENERATION, HEARTBEAT_TIMEOUT
from verifier.errors import Conflict, Refused, Unavailable
from verifier.evidence import rlp

logger = structlog.get_logger(__name__)
STEPS = (
    ("registry", "ProjectRegistry"),
    ("fleet", "FleetManagement"),
    ("router", "Router"),
    ("groth16", "Groth16Verifier"),
    ("temperature_dapp", "TemperatureDapp"),
)
"""(field of Deployment, contract), in the order of their dependence."""
_LAST = "set_router"
_POLL_SECONDS = 0.1
_PATIENCE_SECONDS = 30.0
Found = TypeVar("Found")


async def ensure_deployment(
    ledger: Ledger,
    chain: Chain,
    signer: Signer,
    *,
    finality: Finality,
    heartbeat_timeout: int = HEARTBEAT_TIMEOUT,
    production: bool = False,
    limits: SenderLimits | None = None,
) -> Deployment:
    """The contracts on this chain, deployed by now.

    Parameters: `signer` pays, owns FleetManagement and is its coordinator; `finality` is how the chain's blocks become
    final; `heartbeat_timeout` is in seconds; with `production` the Router must refuse simulated trust
    anchors.
    Raises Conflict when the ledger belongs to another chain or the chain lost the contracts (W3B-5004), or holds unsent
    transactions of another chain (W3B-5011), Refused (W3B-5002) when a step is refused, Unavailable (W3B-5001) when the
    chain does not answer, Conflict (W3B-5031) when `production` is wanted of contracts that are not for it.
    """
    chain_id = await chain.chain_id()
    genesis = await chain.block(0)
    if genesis is None:
        raise Unavailable("W3B-5001", "the chain has no block 0")
    async with ledger.reading() as session:
        await outbox.require_own_chain(session, chain_id)
    known = await _recorded(ledger, chain_id, genesis.hash)
    if known is not None:
        for field, contract in STEPS:
            if not await chain.code(getattr(known, field)):
                raise Conflict("W3B-5004", f"the chain has no code at {contract} {getattr(known, field)}")
        return _for_production(known) if production else known
    deployment = await _Deploying(
        ledger,
        chain,
        signer,
        chain_id=chain_id,
        finality=finality,
        heartbeat_timeout=heartbeat_timeout,
        production=production,
        limits=limits,
    ).run()
    async with ledger.transaction() as session:
        session.add(
            DeploymentRow(
                chain_id=chain_id,
                genesis_hash=genesis.hash,
                addresses=asdict(deployment),
                created_at=ledger.clock(),
            )
        )
    logger.info("deployed", chain_id=chain_id, router=deployment.router, production=deployment.production)
    return _for_production(deployment) if production else deployment


def _for_production(deployment: Deployment) -> Deployment:
    """The deployment. Raises Conflict (W3B-5031) when its Router takes simulated trust anchors."""
    if not deployment.production:
        raise Conflict("W3B-5031", f"the Router {deployment.router} accepts verifiers with simulated trust anchors")
    return deployment


async def _recorded(ledger: Ledger, chain_id: int, genesis_hash: str) -> Deployment | None:
    async with ledger.reading() as session:
        rows = (await session.exec(select(DeploymentRow))).all()
    for row in rows:
        if (row.chain_id, row.genesis_hash) != (chain_id, genesis_hash):
            # The outbox, the projects and the tasks are about one chain; on another they would mean nothing.
            raise Conflict(
                "W3B-5004",
                f"the ledger belongs to chain {row.chain_id} with genesis {row.genesis_hash}; "
                f"this is chain {chain_id} with genesis {genesis_hash}",
            )
        return Deployment(**row.addresses)
    return None


def created_address(sender: str, nonce: int) -> str:
    """The contract that an account's transaction with that nonce creates (Yellow Paper §7), with its checksum."""
    words = [bytes.fromhex(sender.removeprefix("0x")), rlp.encode_int(nonce)]
    return str(to_checksum_address(keccak(rlp.encode(words))[-20:]))


async def _tell_nobody(*_: object) -> None:
    """A deployment ends no task."""


class _Deploying:
    """One deployment under way."""

    def __init__(
        self,
        ledger: Ledger,
        chain: Chain,
        signer: Signer,
        *,
        chain_id: int,
        finality: Finality,
        heartbeat_timeout: int,
        production: bool,
        limits: SenderLimits | None,
    ) -> None:
        self._ledger = ledger
        self._chain = chain
        self._signer = signer
        self._chain_id = chain_id
        self._timeout = heartbeat_timeout
        self._production = production
        effects = Effects(router="", finality_source=finality.source, tell=_tell_nobody)
        self._sender = TxSender(ledger, chain, signer, effects, chain_id=chain_id, finality=finality, limits=limits)

    async def run(self) -> Deployment:
        """Every step, each after the one before it is mined."""
        made: dict[str, str] = {}
        first = 0
        for field, contract in STEPS:
            row = await self._step(field, "", lambda contract=contract: self._creation(contract, made))  # type: ignore[misc]
            assert row.nonce is not None, "it was mined by its own transaction"
            made[field] = created_address(row.sender, row.nonce)
            first = first or row.block_number or 0
        call = encode_call("FleetManagement", "setRouter", made["router"])
        await self._step(_LAST, made["fleet"], lambda: call)
        generation, production = await self._router_says(made["router"])
        return Deployment(chain_id=self._chain_id, block=first, **made, generation=generation, production=production)

    async def _router_says(self, router: str) -> tuple[int, bool]:
        """Generation of the contracts, and whether they are for production: the chain's word, for a deployment that an
        earlier release or other settings began goes on with the contracts that it began with."""
        try:
            answer = await self._patiently(lambda: self._chain.call(self._signer.address, router, call_is_production()))
        except Reverted:
            return 1, False
        return GENERATION, decode_is_production(answer)

    def _creation(self, contract: str, made: Mapping[str, str]) -> bytes:
        """Creation code and constructor arguments, the latter found by their names in the ABI."""
        account = self._signer.address
        values: dict[str, Any] = {
            "owner": account,
            "coordinator": account,
            "registrar": account,
            "timeout": self._timeout,
            "production": self._production,
            **made,
        }
        inputs: list[dict[str, Any]] = next(
            (each["inputs"] for each in abi_of(contract) if each["type"] == "constructor"), []
        )
        return bytecode_of(contract) + encode(
            [each["type"] for each in inputs], [values[each["name"]] for each in inputs]
        )

    async def _step(self, name: str, to: str, data: Callable[[], bytes]) -> OutboxTxRow:
        """One mined transaction. Raises Refused (W3B-5002)."""
        async with self._ledger.transaction() as session:
            tx = await enqueue_tx(
                session,
                self._ledger.clock(),
                dedupe_key=f"deploy:{self._chain_id}:{name}",
                chain_id=self._chain_id,
                purpose="deploy",
                to=to,
                data=data(),
                ref={"step": name},
            )
        while True:
            async with self._ledger.reading() as session:
                row = await session.get_one(OutboxTxRow, tx)
            if row.state in outbox.DONE_STATES:
                return row
            if row.state == "REFUSED":
                raise Refused("W3B-5002", f"deployment step {name} refused: {row.reason}")
            await self._patiently(self._sender.step)
            await asyncio.sleep(_POLL_SECONDS)

    async def _patiently(self, work: Callable[[], Awaitable[Found]]) -> Found:
        """Try again while a server that answered before is silent now. Raises Unavailable after a while."""
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return await work()
            except Unavailable as error:
                if time.monotonic() >= until:
                    raise
                logger.warning("deployment waits", code=error.code, error=error.message)
                await asyncio.sleep(_POLL_SECONDS)
