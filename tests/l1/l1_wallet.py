"""Funded accounts, signing and sending in tests."""

from __future__ import annotations

from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3 import Web3

CHAIN_ID = 4690
RICH = 10**24
"""Wei that each account of the test genesis has."""

FEES = {"maxFeePerGas": 10**11, "maxPriorityFeePerGas": 10**9}


def key(number: int) -> LocalAccount:
    """An account of the test genesis, 1 to 40."""
    return Account.from_key(number.to_bytes(32, "big"))


def sign(account: LocalAccount, chain_id: int, nonce: int, **fields: Any) -> bytes:
    """A signed EIP-1559 transaction, or a legacy one when `gasPrice` is given."""
    fees = {} if "gasPrice" in fields else FEES
    base = {"chainId": chain_id, "nonce": nonce, "gas": 200_000, "value": 0, **fees}
    return bytes(account.sign_transaction(base | fields).raw_transaction)


def send(web3: Web3, account: LocalAccount, **fields: Any) -> Any:
    """Send with the next nonce, and wait for the receipt."""
    nonce = web3.eth.get_transaction_count(account.address, "pending")
    raw = sign(account, web3.eth.chain_id, nonce, **fields)
    return web3.eth.wait_for_transaction_receipt(web3.eth.send_raw_transaction(raw), timeout=30, poll_latency=0.05)
