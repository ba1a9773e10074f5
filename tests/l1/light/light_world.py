"""Test only: one chain, and both light clients that follow it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import rlp
from eth_hash.auto import keccak
from light_chain import ARTIFACT, REASONS, Contract, Host, creation, final_call, point_of, refusal
from light_headers import CHAIN, NOW, PARAMETERS, header, set_of, signed

from l1.consensus.messages import domain_of
from l1.light.client import Checkpoint, HeaderView, LightClient, NotFinal
from l1.nodes.keys import DelegateKeys, derive

KEYS = derive(b"l" * 32, 24)


class World:
    """A set, and both clients that start from a genesis which names it."""

    def __init__(self, keys: tuple[DelegateKeys, ...], powers: tuple[int, ...]) -> None:
        self.keys, self.delegates = keys, set_of(keys, powers)
        genesis = header(0, self.delegates.root())
        self.genesis_hash = bytes(keccak(genesis))
        self.domain = domain_of(CHAIN, self.genesis_hash)
        self.python = LightClient(Checkpoint(CHAIN, self.genesis_hash, genesis, self.delegates), PARAMETERS, NOW)
        self.contract = Host(NOW).deploy(creation(PARAMETERS, CHAIN, self.genesis_hash, self.delegates))

    def sign(self, block: bytes, voters: tuple[int, ...] = (), **changes: Any) -> bytes:
        """The footer of these delegates, of all by default."""
        return signed(block, self.keys, voters or tuple(range(len(self.keys))), self.domain, **changes)

    def verdicts(self, block: bytes, footer: bytes) -> tuple[str, str]:
        """Why each client refuses a block; empty for what it takes. What both take they must read alike."""
        try:
            seen = self.python.require_final(block, footer)
            expected = "" if _roots_are_roots(block) else "header"
        except NotFinal as error:
            expected = error.reason
            if expected != "header" and not _roots_are_roots(block):
                expected = "header"
        result = self.contract.host.call(final_call(block, footer, point_of(footer)), self.contract.address)
        found = REASONS.get(refusal(result), refusal(result))
        if not found and not expected:
            (read,) = ARTIFACT.decode_result("requireFinal", result.output)
            fields = rlp.decode(block)
            assert read == (seen.hash, seen.number, seen.timestamp, fields[3], fields[5], seen.next_root)
        return expected, found


def _roots_are_roots(block: bytes) -> bool:
    """What the contract asks of a header over what the Python client asks: it gives out these two as 32 bytes."""
    try:
        HeaderView.decode(block)
    except NotFinal:
        return False
    fields = rlp.decode(block)
    return len(fields[3]) == len(fields[5]) == 32


@lru_cache
def world(count: int) -> World:
    """A set of so many, with powers 1, 2, 3, 1, …"""
    return World(KEYS[:count], tuple(1 + index % 3 for index in range(count)))


def refused(contract: Contract, block: bytes, footer: bytes, signature: bytes | None = None) -> str:
    return contract.ask(final_call(block, footer, point_of(footer) if signature is None else signature))
