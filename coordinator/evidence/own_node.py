"""A node of the reader's own, asked a few things over Ethereum JSON-RPC with the standard library alone."""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
import urllib.request
from typing import Any

from eth_abi.exceptions import DecodingError

from verifier import bindings
from verifier.bindings import TaskStatus
from verifier.errors import InvalidInput, Unavailable

SECONDS = 15.0
MAX_ANSWER = 8 << 20
"""Bytes of an answer."""
_HASH = re.compile(r"0x[0-9a-f]{64}")


class OwnNode:
    """The node at an http or https URL. Raises InvalidInput (W3B-9009) for another kind of URL."""

    def __init__(self, url: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise InvalidInput("W3B-9009", "the URL of your node begins with http:// or https://", field="rpc")
        self._url = url

    def chain_id(self) -> int:
        """EIP-155 chain id."""
        return int(str(self._ask("eth_chainId")), 16)

    def block_hash(self, number: int) -> bytes | None:
        """Hash of a block, 32 bytes; None where the node has no such block."""
        found = self._ask("eth_getBlockByNumber", hex(number), False)
        name = found.get("hash") if isinstance(found, dict) else None
        return bytes.fromhex(name[2:]) if isinstance(name, str) and _HASH.fullmatch(name) else None

    def is_frozen(self, router: bytes, task_id: bytes) -> bool:
        """Whether the Router has frozen the task by now: two different outputs were proven."""
        call = {"to": "0x" + router.hex(), "data": "0x" + bindings.call_task_state(task_id).hex()}
        answer = self._ask("eth_call", call, "latest")
        try:
            state = bindings.decode_task_state(bytes.fromhex(str(answer)[2:]))
        except (DecodingError, ValueError) as error:
            raise Unavailable("W3B-5001", f"your node has no Router at 0x{router.hex()}: {error}") from error
        return state.status is TaskStatus.FROZEN

    def _ask(self, method: str, *params: Any) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})  # noqa: S310  http(s) only
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
                reply = json.loads(answer.read(MAX_ANSWER))
        except (OSError, ValueError, http.client.HTTPException, urllib.error.URLError) as error:
            raise Unavailable("W3B-5001", f"your node does not answer {method}: {error}") from error
        if not isinstance(reply, dict) or "result" not in reply:
            raise Unavailable("W3B-5001", f"your node does not answer {method}: {str(reply)[:200]}")
        return reply["result"]
