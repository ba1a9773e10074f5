"""Deploying the contracts in order, and the record of where they are."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from verifier.bindings.abi import abi_of, bytecode_of
from verifier.errors import InvalidInput, Refused

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount
    from eth_typing import ChecksumAddress
    from web3 import Web3

GENERATION = 2
"""Generation of the contracts that are deployed from here."""
HEARTBEAT_TIMEOUT = 120
"""Seconds after its last heartbeat at which a prover reads as Offline, unless the deployer says otherwise."""
RECEIPT_TIMEOUT = 120.0
"""Seconds to wait for each transaction of a deployment."""


@dataclass(frozen=True)
class Deployment:
    """Where the contracts are. Addresses are EIP-55 checksummed."""

    chain_id: int
    """EIP-155 chain id."""
    block: int
    """Block of the first contract; logs start here."""
    registry: str
    """ProjectRegistry."""
    fleet: str
    """FleetManagement."""
    router: str
    """Router: the EIP-712 verifyingContract."""
    groth16: str
    """Groth16Verifier."""
    temperature_dapp: str
    """TemperatureDapp, the sample."""
    generation: int = 1
    """2 where ProjectRegistry takes a policy beside the threshold and Router knows `isProduction`; 1 in records from
    before: they go on, with assurances that only count kinds."""
    production: bool = False
    """Whether the Router refuses verifiers that rest on a simulated trust anchor."""

    def to_json(self) -> str:
        """JSON text with sorted keys; `from_json` reads it back."""
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Deployment:
        """Read `to_json`'s text. Raises InvalidInput (W3B-5008) when a field is missing, unknown or malformed."""
        try:
            fields = json.loads(text)
            found = cls(**fields)
        except (ValueError, TypeError) as error:
            raise InvalidInput("W3B-5008", f"not a deployment record: {error}") from error
        for name, value in fields.items():
            number, flag = name in ("chain_id", "block", "generation"), name == "production"
            good = type(value) is bool if flag else type(value) is int and value >= 0 if number else _is_address(value)
            if not good:
                raise InvalidInput("W3B-5008", f"deployment record: {name} is {value!r}", field=name)
        return found

    def router_bytes(self) -> bytes:
        """Address of the Router, 20 bytes, as `verifier.statement.Domain` takes it."""
        return bytes.fromhex(self.router[2:])


def _is_address(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"0x[0-9a-fA-F]{40}", value) is not None


def deploy(
    web3: Web3,
    account: LocalAccount,
    coordinator: str | bytes,
    *,
    heartbeat_timeout: int = HEARTBEAT_TIMEOUT,
    production: bool = False,
) -> Deployment:
    """Deploy everything: registry, fleet, router, Groth16 verifier, sample dApp; then name the router to the fleet.

    Parameters: `account` pays and owns registry and fleet; `coordinator` is their first registrar and coordinator;
    `heartbeat_timeout` is in seconds, 10 to 604,800; a `production` Router refuses simulated trust anchors. Sends six
    transactions one after another and waits for each.
    Raises Refused (W3B-5009) when one reverts, and what web3 raises when the chain does not answer.
    """
    first = web3.to_checksum_address(coordinator)
    registry, block = create(web3, account, "ProjectRegistry", account.address, first)
    fleet, _ = create(web3, account, "FleetManagement", account.address, registry, first, heartbeat_timeout)
    router, _ = create(web3, account, "Router", registry, fleet, production)
    groth16, _ = create(web3, account, "Groth16Verifier", router)
    dapp, _ = create(web3, account, "TemperatureDapp", router)
    named = web3.eth.contract(address=fleet, abi=abi_of("FleetManagement")).functions.setRouter(router)
    _send(web3, account, named, "FleetManagement.setRouter")
    return Deployment(web3.eth.chain_id, block, registry, fleet, router, groth16, dapp, GENERATION, production)


def create(web3: Web3, account: LocalAccount, contract: str, *arguments: Any) -> tuple[ChecksumAddress, int]:
    """Deploy one contract; its address and block. Raises Refused (W3B-5009)."""
    factory = web3.eth.contract(abi=abi_of(contract), bytecode=bytecode_of(contract))
    receipt = _send(web3, account, factory.constructor(*arguments), contract)
    return web3.to_checksum_address(receipt["contractAddress"]), receipt["blockNumber"]


def _send(web3: Web3, account: LocalAccount, call: Any, what: str) -> Any:
    """Sign, send and wait. Raises Refused (W3B-5009)."""
    nonce = web3.eth.get_transaction_count(account.address, "pending")
    transaction = call.build_transaction({"from": account.address, "nonce": nonce})
    signed = account.sign_transaction(transaction)
    receipt = web3.eth.wait_for_transaction_receipt(
        web3.eth.send_raw_transaction(signed.raw_transaction), timeout=RECEIPT_TIMEOUT
    )
    if receipt["status"] != 1:
        raise Refused("W3B-5009", f"deployment: {what} reverted in transaction 0x{receipt['transactionHash'].hex()}")
    return receipt
