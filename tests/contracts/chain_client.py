"""Test only: a thin JSON-RPC client that sends signed transactions and explains refusals by the bindings."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3 import HTTPProvider, Web3

from verifier.bindings import Event, Revert, decode_event, decode_revert

GAS = 4_000_000


class Reverted(AssertionError):
    """A transaction that should have passed was refused."""


@dataclass
class Chain:
    """A chain to test on."""

    name: str
    web3: Web3
    funded: LocalAccount

    @classmethod
    def connect(cls, name: str, url: str, key: str | bytes) -> Chain:
        return cls(name, Web3(HTTPProvider(url, request_kwargs={"timeout": 30})), Account.from_key(key))

    def rpc(self, method: str, *parameters: Any) -> dict[str, Any]:
        return dict(self.web3.provider.make_request(method, list(parameters)))  # type: ignore[arg-type]

    def now(self) -> int:
        """Timestamp of the latest block, seconds."""
        return int(self.web3.eth.get_block("latest")["timestamp"])

    def call(
        self, to: str | bytes, data: bytes, sender: LocalAccount | str | None = None, gas: int = GAS
    ) -> bytes | Revert:
        """eth_call: what it returned, or why it reverted. `sender` may be a contract's address."""
        transaction = {
            "from": sender if isinstance(sender, str) else (sender or self.funded).address,
            "to": Web3.to_checksum_address(to),
            "data": "0x" + data.hex(),
            "gas": hex(gas),
        }
        reply = self.rpc("eth_call", transaction, "latest")
        if "error" not in reply:
            return bytes.fromhex(reply["result"][2:])
        detail = reply["error"].get("data")
        if isinstance(detail, str):
            return decode_revert(bytes.fromhex(detail[2:]))
        return Revert("RpcError", {"message": reply["error"]["message"]})

    def read(self, to: str | bytes, data: bytes) -> bytes:
        """eth_call that must succeed."""
        result = self.call(to, data)
        if isinstance(result, Revert):
            raise Reverted(str(result))
        return result

    def refusal(self, sender: LocalAccount, to: str | bytes, data: bytes, gas: int = GAS) -> Revert:
        """Why the chain refuses the call; fails when it does not."""
        result = self.call(to, data, sender, gas)
        assert isinstance(result, Revert), "the call was accepted"
        return result

    def submit(self, sender: LocalAccount, to: str | bytes | None, data: bytes, gas: int = GAS, value: int = 0) -> Any:
        """Sign, send and wait; the receipt, whatever its status."""
        eth = self.web3.eth
        transaction: dict[str, Any] = {
            "chainId": eth.chain_id,
            "nonce": eth.get_transaction_count(sender.address, "pending"),
            "gas": gas,
            "maxFeePerGas": max(2 * eth.gas_price, 10**9),
            "maxPriorityFeePerGas": 1,
            "value": value,
            "data": data,
        }
        if to is not None:
            transaction["to"] = Web3.to_checksum_address(to)
        raw = sender.sign_transaction(transaction).raw_transaction
        return eth.wait_for_transaction_receipt(eth.send_raw_transaction(raw), timeout=60, poll_latency=0.02)

    def send(self, sender: LocalAccount, to: str | bytes | None, data: bytes, gas: int = GAS, value: int = 0) -> Any:
        """`submit` that must succeed; raises Reverted with the reason."""
        receipt = self.submit(sender, to, data, gas, value)
        if receipt["status"] != 1:
            raise Reverted(str(self.call(to or b"", data, sender, gas)) if to else "creation reverted")
        return receipt

    def fund(self, account: LocalAccount, wei: int = 10**18) -> LocalAccount:
        self.send(self.funded, account.address, b"", 21_000, wei)
        return account

    def pass_time(self, until: int) -> None:
        """Let blocks be mined until the latest timestamp is beyond `until`."""
        while self.now() <= until:
            time.sleep(0.25)
            self.send(self.funded, self.funded.address, b"", 21_000)


def events(receipt: Any) -> list[Event]:
    """The receipt's logs, decoded; fails for a log that the bindings do not know."""
    found = [decode_event([bytes(topic) for topic in log["topics"]], bytes(log["data"])) for log in receipt["logs"]]
    assert None not in found
    return [event for event in found if event is not None]


def event(receipt: Any, name: str) -> Event:
    """The one event of this name."""
    (found,) = [each for each in events(receipt) if each.name == name]
    return found
