"""A transaction to one of the chain's own contracts: try it, sign it, send it, wait for its block, say what happened."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from coordinator.cli.l1 import account as accounts
from coordinator.cli.l1.chain_node import ChainNode, NodeRefused, Reverted
from coordinator.cli.l1.next_steps import next_step
from coordinator.cli.l1.units import IOTX, at, hexed, iotx
from coordinator.cli.output import console, fields_table, print_json
from l1.contracts.abi import Artifact, Decoded
from verifier.errors import Conflict, Unavailable

POLL_SECONDS: Final = 0.25
GAS_MARGIN: Final = 150_000
"""More than the estimate, which is made in the newest block: in a later one the contracts begin new words of history."""
Wait = Annotated[
    float, typer.Option("--timeout", min=1, max=3600, help="Seconds to wait for the block.", show_default=True)
]
_TIMES: Final = {"maturesAt", "withdrawableAt", "from", "end"}
"""Arguments of errors that are Unix seconds."""
_AMOUNTS: Final = {"amount"}
"""Arguments that are rau."""
_WEIGHTS: Final = {"weight", "needed", "votes"}
"""Arguments that are votes, which count like rau."""


@dataclass(frozen=True)
class ContractAt:
    """One of the chain's contracts."""

    artifact: Artifact
    address: bytes
    """20 bytes."""
    words: str
    """What people call it."""


@dataclass(frozen=True)
class Sent:
    """A transaction that is in a block."""

    hash: str
    sender: bytes
    block: int
    gas_used: int
    events: tuple[Decoded, ...]
    """Of the contract, in order."""

    def event(self, name: str) -> dict[str, Any]:
        """Arguments of the first event of that name; none where there is none."""
        return next((each.args for each in self.events if each.name == name), {})


class Sender:
    """An account that sends transactions to one contract."""

    def __init__(self, node: ChainNode, contract: ContractAt, key: Path, password: Path | None) -> None:
        """Raises InvalidInput (W3B-7016) for a bad key file, Unavailable (W3B-5001, W3B-5003) for a bad chain."""
        self._account = accounts.load(key, password)
        node.require_contract(contract.address, contract.words)
        self.node = node
        self.contract = contract
        self.address = bytes.fromhex(str(self._account.address)[2:])
        """20 bytes."""

    def send(self, data: bytes, value: int, *, timeout: float, quiet: bool) -> Sent:
        """Send and wait for the block.

        Parameters
        ----------
        value
            Rau that goes along.
        quiet
            Whether progress is not shown.

        Raises
        ------
        Conflict
            W3B-5002, when the contract refuses it or the account cannot pay for it.
        Unavailable
            W3B-7012, when it is in no block in time; W3B-5001, when the node does not answer.
        """
        call = {"from": hexed(self.address), "to": hexed(self.contract.address), "data": hexed(data)}
        call["value"] = hex(value)
        try:
            fields = self._fields(call, value)
            raw = bytes(self._account.sign_transaction(fields | {"data": data}).raw_transaction)
            tx = str(self.node.ask("eth_sendRawTransaction", hexed(raw)))
        except Reverted as error:
            raise refusal(self.contract, error) from error
        except NodeRefused as error:
            raise self._unpaid(str(error), value) from error
        with _progress(f"sent {tx}, waiting for its block", quiet=quiet):
            receipt = self._receipt(tx, timeout)
        if int(receipt["status"], 16) != 1:
            raise self._failed(call, receipt)
        return self._sent(tx, receipt)

    def _fields(self, call: Mapping[str, str], value: int) -> dict[str, Any]:
        node = self.node
        gas = node.number("eth_estimateGas", call) + GAS_MARGIN
        tip = node.number("eth_maxPriorityFeePerGas")
        base = int(node.block().get("baseFeePerGas", "0x0"), 16)
        return {
            "type": 2,
            "chainId": node.number("eth_chainId"),
            "nonce": node.number("eth_getTransactionCount", call["from"], "pending"),
            "to": self.contract.address,
            "value": value,
            "gas": gas,
            # Room for eight full blocks, each an eighth dearer (EIP-1559).
            "maxFeePerGas": 3 * base + tip,
            "maxPriorityFeePerGas": tip,
        }

    def _receipt(self, tx: str, timeout: float) -> dict[str, Any]:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            found = self.node.ask("eth_getTransactionReceipt", tx)
            if isinstance(found, dict):
                return found
            time.sleep(POLL_SECONDS)  # a node tells nobody that a receipt is there
        raise Unavailable(
            "W3B-7012",
            f"transaction {tx} is in no block after {timeout:g} s",
            next_step="It may still be taken: look whether the chain makes blocks before you send it again.",
        )

    def _failed(self, call: Mapping[str, str], receipt: Mapping[str, Any]) -> Conflict:
        """Why a transaction that is in a block reverted: it is tried again on the state after that block."""
        try:
            self.node.ask("eth_call", call, receipt["blockNumber"])
        except Reverted as error:
            return refusal(self.contract, error, f" (transaction {receipt['transactionHash']})")
        except NodeRefused as error:
            return Conflict("W3B-5002", f"transaction {receipt['transactionHash']} failed: {error}")
        return Conflict(
            "W3B-5002",
            f"transaction {receipt['transactionHash']} ran out of gas or met another state",
            next_step="Run the command again.",
        )

    def _unpaid(self, said: str, value: int) -> Conflict:
        has = self.node.number("eth_getBalance", hexed(self.address), "latest")
        return Conflict(
            "W3B-5002",
            f"the node refused it: {said}; {hexed(self.address)} has {iotx(has)} IOTX and would send {iotx(value)}",
            next_step="Bring coins to the account, with some for fees, or give another --key.",
        )

    def _sent(self, tx: str, receipt: Mapping[str, Any]) -> Sent:
        address = hexed(self.contract.address)
        logs = [each for each in receipt["logs"] if each["address"].lower() == address]
        decoded = [
            self.contract.artifact.decode_event(
                [bytes.fromhex(topic[2:]) for topic in each["topics"]], bytes.fromhex(each["data"][2:])
            )
            for each in logs
        ]
        events = tuple(each for each in decoded if each is not None)
        return Sent(tx, self.address, int(receipt["blockNumber"], 16), int(receipt["gasUsed"], 16), events)


def refusal(contract: ContractAt, error: Reverted, where: str = "") -> Conflict:
    """The contract's own words, and what to do (W3B-5002)."""
    why = contract.artifact.decode_revert(error.data)
    if not why.name or why.name == "Unknown":
        said = f"the {contract.words} contract refused it without saying why: {error}{where}"
        return Conflict("W3B-5002", said, next_step="Check the arguments; the node's words are all there is.")
    told = ", ".join(f"{name} {shown(name, value)}" for name, value in why.args.items())
    subject = next((shown("", why.args[name]) for name in ("index", "id") if name in why.args), "")
    return Conflict(
        "W3B-5002",
        f"the {contract.words} contract refused it: {why.name}({told}){where}",
        next_step=next_step(why.name, subject),
    )


def shown(name: str, value: Any) -> str:
    """A value of a contract's error or event as people read it."""
    if isinstance(value, bytes):
        return hexed(value)
    if isinstance(value, tuple):
        return f"({', '.join(shown('', each) for each in value)})"
    if name in _TIMES and isinstance(value, int) and value:
        return f"{value} ({at(value)})"
    if name in _AMOUNTS and isinstance(value, int):
        return f"{iotx(value)} IOTX"
    if name in _WEIGHTS and isinstance(value, int):
        return f"{value // IOTX:,}"
    return str(value)


def plain(value: Any) -> Any:
    """A value of a contract for JSON: bytes as 0x hex digits, whole numbers above 2^53 as text."""
    if isinstance(value, bytes):
        return hexed(value)
    if isinstance(value, tuple | list):
        return [plain(each) for each in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 1 << 53:
        return str(value)
    return value


def report(sent: Sent, what: str, *, as_json: bool, facts: Mapping[str, Any] | None = None) -> None:
    """Say what happened; `facts` are what the command adds."""
    if as_json:
        events = [
            {"event": each.name} | {key: plain(value) for key, value in each.args.items()} for each in sent.events
        ]
        told = {"transaction": sent.hash, "sender": hexed(sent.sender), "block": sent.block, "gas_used": sent.gas_used}
        print_json({**told, **{key: plain(value) for key, value in (facts or {}).items()}, "events": events})
        return
    out = console()
    out.print(Text(what, "green"), soft_wrap=True)
    rows = [(key.replace("_", " "), shown(key, value)) for key, value in (facts or {}).items()]
    rows += [("transaction", sent.hash), ("block", f"{sent.block:,}"), ("gas", f"{sent.gas_used:,}")]
    out.print(fields_table(rows))


def _progress(words: str, *, quiet: bool) -> AbstractContextManager[object]:
    out = console(stderr=True)
    if quiet:
        return nullcontext()
    if out.is_terminal:
        return out.status(words)
    out.print(words, style="dim", soft_wrap=True)
    return nullcontext()
