"""Which blocks are safe and which are final: on whose word is decided once, at start; after that a missing answer
decides nothing.

| source | the chain | a block is final when |
|---|---|---|
| `bls` | the embedded one | its delegates' certificate is in its footer; the node calls it `finalized` |
| `single-producer` | the embedded one, without delegates | it is at or below the node's `finalized` block |
| `rpc-finalized` | behind an RPC, knows the tag | it is at or below the server's `finalized` block |
| `rpc-depth` | behind an RPC, does not know the tag | the operator's number of blocks is on top of it |

A block is safe when it is at or below the chain's `safe` block, where the chain knows that tag too; else when the
operator's number of blocks for it is on top; else when it is final. Nothing but the ladder hangs on it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from coordinator.settlement.chain import Block, Chain, RpcRefused
from verifier.errors import InvalidInput, Unavailable

_TAG = "finalized"
_SAFE_TAG = "safe"
_ABOUT_BLOCK = re.compile(r"\b(block|tag|finalized|argument|param)", re.IGNORECASE)
_NOT_KNOWN = re.compile(r"unknown|not found|not supported|unsupported|invalid|unrecogni[sz]ed", re.IGNORECASE)
_UNKNOWN_CODES = frozenset({-39001, -32602})
"""JSON-RPC error codes: unknown block (as execution clients answer), invalid params (JSON-RPC 2.0 §5.1)."""


@dataclass(frozen=True)
class Finality:
    """How blocks of one chain become final."""

    source: str
    """What a FINAL task says about it: `bls`, `single-producer`, `rpc-finalized` or `rpc-depth`."""
    depth: int = 0
    """Blocks on top of a final block; 0 where the chain itself says `finalized`."""
    knows_safe: bool = True
    """Whether the chain itself says `safe`."""
    safe_depth: int = 0
    """Blocks on top of a safe block on a chain that does not; 0: a block is safe when it is final."""

    async def safe_number(self, chain: Chain, head: Block, final: int) -> int:
        """Number of the highest safe block, never below `final`. Raises Unavailable (W3B-5001).

        A chain that does not say at this moment makes no block safe but the final ones.
        """
        if not self.knows_safe:
            return max(final, head.number - self.safe_depth) if self.safe_depth else final
        try:
            block = await chain.block(_SAFE_TAG)
        except RpcRefused:
            return final
        return final if block is None else max(final, min(block.number, head.number))

    async def number(self, chain: Chain, head: Block) -> int:
        """Number of the highest final block, below 0 where there is none.

        Raises Unavailable (W3B-5001) when the chain does not say: that it did not answer makes no block final.
        """
        if self.depth:
            return head.number - self.depth
        try:
            block = await chain.block(_TAG)
        except RpcRefused as error:
            raise Unavailable("W3B-5001", f"the chain did not say which block is final: {error.message}") from error
        if block is None:
            raise Unavailable("W3B-5001", "the chain named no final block, although it knows the tag")
        return block.number


async def finality_of(chain: Chain, depth: int, safe_depth: int = 0) -> Finality:
    """How blocks become final on a chain behind an RPC; ask once, when settling starts.

    Parameters: `depth` is the operator's number of blocks, for a chain that does not know `finalized`; 0 means that the
    operator named none; `safe_depth` is the same for `safe`. Raises Unavailable (W3B-5001) when the chain does not
    answer, InvalidInput (W3B-5010) when it does not know the tag and no depth is set.
    """
    head = await chain.block("latest")
    if head is None:
        raise Unavailable("W3B-5001", "the chain has no block")
    try:
        found, why = await chain.block(_TAG), "it answered null"
    except RpcRefused as error:
        if not _is_unknown_tag(error):  # a limit, a syncing server: no word on what the chain knows
            raise Unavailable("W3B-5001", f"asked for the final block, the chain refused: {error.message}") from error
        found, why = None, error.message
    knows_safe = await _knows_safe(chain)
    if found is not None:
        return Finality("rpc-finalized", knows_safe=knows_safe, safe_depth=safe_depth)
    if depth > 0:
        return Finality("rpc-depth", depth, knows_safe=knows_safe, safe_depth=min(safe_depth, depth))
    message = f"the chain does not know the block tag `{_TAG}` ({why})"
    raise InvalidInput("W3B-5010", f"{message}; set W3BSTREAM_FINALITY_DEPTH", field="finality_depth")


async def _knows_safe(chain: Chain) -> bool:
    try:
        return await chain.block(_SAFE_TAG) is not None
    except RpcRefused:
        return False


def _is_unknown_tag(error: RpcRefused) -> bool:
    about_tag = _ABOUT_BLOCK.search(error.message.partition(": ")[2]) and _NOT_KNOWN.search(error.message)
    return error.rpc_code in _UNKNOWN_CODES or bool(about_tag)
