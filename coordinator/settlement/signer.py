"""The coordinator's account: a key file that only its owner can read, and EIP-1559 transactions signed with it.

The key is in no log, no `repr` and no environment variable.
"""

from __future__ import annotations

import json
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from eth_account import Account

from coordinator.settlement.chain import Fees
from provers.installation import write_private
from verifier import signatures
from verifier.errors import InvalidInput


@dataclass(frozen=True)
class Signed:
    """A signed transaction, ready to send."""

    raw: bytes
    tx_hash: str
    """0x lower-case hex."""


class Signer(Protocol):
    """Who signs; a key file here, an HSM or a KMS elsewhere."""

    address: str
    """The account, 0x lower-case hex."""

    def sign(self, *, chain_id: int, nonce: int, to: str, data: bytes, gas: int, fees: Fees) -> Signed:
        """Sign an EIP-1559 transaction without value; an empty `to` creates a contract."""

    def sign_digest(self, digest: bytes) -> bytes:
        """r ‖ s ‖ v over an EIP-712 digest of 32 bytes."""


class KeyFileSigner:
    """Signs with the private key in a file of mode 600."""

    def __init__(self, private_key: bytes) -> None:
        self._account = Account.from_key(private_key)
        self.address = str(self._account.address).lower()
        """The account, 0x lower-case hex."""

    def __repr__(self) -> str:
        return f"KeyFileSigner({self.address})"

    @classmethod
    def at(cls, path: Path) -> KeyFileSigner:
        """The signer of a key file; the file is created with a fresh key when there is none.

        Raises InvalidInput (W3B-5006) when others can read the file or it holds no key.
        """
        if not path.exists():
            _create(path)
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise InvalidInput("W3B-5006", f"{path.name} has mode {mode:o}; it must be 600", field="keys")
        try:
            return cls(bytes.fromhex(json.loads(path.read_text())["private_key"].removeprefix("0x")))
        except (ValueError, KeyError, TypeError, AttributeError):
            # The cause is cut off: its text could quote the key.
            raise InvalidInput("W3B-5006", f"{path.name} holds no private key", field="keys") from None

    def sign(self, *, chain_id: int, nonce: int, to: str, data: bytes, gas: int, fees: Fees) -> Signed:
        """Sign an EIP-1559 transaction (EIP-2718 type 2); the same arguments give the same bytes (RFC 6979)."""
        signed = self._account.sign_transaction(
            {
                "type": 2,
                "chainId": chain_id,
                "nonce": nonce,
                "to": bytes.fromhex(to.removeprefix("0x")),
                "value": 0,
                "data": data,
                "gas": gas,
                "maxFeePerGas": fees.max_fee,
                "maxPriorityFeePerGas": fees.tip,
            }
        )
        return Signed(bytes(signed.raw_transaction), "0x" + bytes(signed.hash).hex())

    def sign_digest(self, digest: bytes) -> bytes:
        """r ‖ s ‖ v over an EIP-712 digest of 32 bytes."""
        return signatures.sign(digest, bytes(self._account.key))


def _create(path: Path) -> None:
    """Write a fresh key; one that another process made meanwhile stays."""
    account = Account.create()
    text = json.dumps({"address": account.address.lower(), "private_key": "0x" + bytes(account.key).hex()})
    write_private(path, text, keep=True)
