"""A node of the chain, asked over Ethereum JSON-RPC with the standard library alone."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Annotated, Any, Final

import typer

from coordinator.cli.options import home
from coordinator.cli.user_file import unreadable
from verifier.errors import InvalidInput, Unavailable

Rpc = Annotated[
    str,
    typer.Option(
        "--rpc",
        envvar="W3BSTREAM_L1_RPC",
        help="JSON-RPC URL of any node of the chain. Default: the chain of this machine's service.",
        show_default=False,
        rich_help_panel="Connection",
    ),
]
SECONDS: Final = 15.0
MAX_ANSWER: Final = 32 << 20
"""Bytes of an answer."""
LOG_RANGE: Final = 5_000
"""Blocks whose logs are asked for at once."""


class Reverted(Exception):
    """A call reverted; `data` is what the contract gave back."""

    def __init__(self, message: str, data: bytes) -> None:
        super().__init__(message)
        self.data = data


class NodeRefused(Exception):
    """The node refused a request that it understood, such as a transaction that cannot be paid."""


class ChainNode:
    """The node at an http or https URL."""

    def __init__(self, url: str) -> None:
        """Raises InvalidInput (W3B-7008) for another kind of URL."""
        if not url.startswith(("http://", "https://")):
            raise InvalidInput(
                "W3B-7008",
                f"{url[:100]!r} is no URL of a node",
                field="rpc",
                next_step="Give --rpc such as http://127.0.0.1:8545.",
            )
        self.url = url
        """Where it answers."""

    @classmethod
    def at(cls, given: str) -> ChainNode:
        """The node that is given, else that of this machine's service. Raises Unavailable (W3B-5001)."""
        if given:
            return cls(given)
        path = home() / "chain" / "node.json"
        try:
            return cls(str(json.loads(path.read_text("utf-8"))["rpc"]))
        except FileNotFoundError as error:
            raise Unavailable(
                "W3B-5001",
                f"no chain runs here: {path} is not there",
                field="rpc",
                next_step="Name a node's JSON-RPC with --rpc URL or W3BSTREAM_L1_RPC, or start `w3bstream up`.",
            ) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise unreadable(path, error) from error

    def ask(self, method: str, *params: Any) -> Any:
        """What the node answers.

        Raises
        ------
        Unavailable
            W3B-5001, when it does not answer.
        Reverted, NodeRefused
            When it answers with an error.
        """
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})  # noqa: S310  http(s) only
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
                reply = json.loads(answer.read(MAX_ANSWER))
        except (OSError, ValueError, http.client.HTTPException, urllib.error.URLError) as error:
            raise self._silent(method, str(error)) from error
        if not isinstance(reply, dict):
            raise self._silent(method, "no JSON-RPC")
        if isinstance(refused := reply.get("error"), dict):
            message, data = str(refused.get("message")), refused.get("data")
            if "revert" in message or isinstance(data, str):
                raise Reverted(message, _bytes(data) if isinstance(data, str) else b"")
            raise NodeRefused(message)
        if "result" not in reply:
            raise self._silent(method, "no JSON-RPC")
        return reply["result"]

    def number(self, method: str, *params: Any) -> int:
        """An answer that is a quantity. Raises as `ask`."""
        answer = self.ask(method, *params)
        try:
            return int(str(answer), 16)
        except ValueError as error:
            raise self._silent(method, f"{str(answer)[:80]!r} is no quantity") from error

    def call(self, to: bytes, data: bytes, block: str = "latest") -> bytes:
        """`eth_call`. Raises as `ask`."""
        return _bytes(str(self.ask("eth_call", {"to": _hexed(to), "data": _hexed(data)}, block)))

    def block(self, number: str = "latest") -> dict[str, Any]:
        """A block's header fields. Raises as `ask`."""
        found = self.ask("eth_getBlockByNumber", number, False)
        if not isinstance(found, dict):
            raise self._silent("eth_getBlockByNumber", f"no block {number}")
        return found

    def logs(self, address: bytes, topics: list[str | None], first: int = 0) -> Iterator[dict[str, Any]]:
        """Logs of a contract, oldest first. Raises as `ask`."""
        head = self.number("eth_blockNumber")
        for start in range(first, head + 1, LOG_RANGE):
            end = min(head, start + LOG_RANGE - 1)
            yield from self.ask(
                "eth_getLogs",
                {"address": _hexed(address), "topics": topics, "fromBlock": hex(start), "toBlock": hex(end)},
            )

    def require_contract(self, address: bytes, what: str) -> None:
        """Raises Unavailable (W3B-5003) where the chain has no code at the address."""
        if self.ask("eth_getCode", _hexed(address), "latest") in ("0x", None):
            chain = self.number("eth_chainId")
            raise Unavailable(
                "W3B-5003",
                f"chain {chain} at {self.url} has no {what} contract: no code at {_hexed(address)}",
                field="rpc",
                next_step="Name a node of a chain whose genesis has it: --rpc URL, or W3BSTREAM_L1_RPC.",
            )

    def _silent(self, method: str, why: str) -> Unavailable:
        return Unavailable(
            "W3B-5001",
            f"the node at {self.url} does not answer {method}: {why[:200]}",
            field="rpc",
            next_step="Check --rpc and W3BSTREAM_L1_RPC, and that the node runs.",
        )


def _hexed(raw: bytes) -> str:
    return "0x" + raw.hex()


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        return b""
