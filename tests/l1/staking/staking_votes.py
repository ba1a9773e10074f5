"""Test only: signed votes and proposals of the tests' keys, and evidence of them."""

from __future__ import annotations

from typing import TypeVar

from staking_world import keys

from l1.consensus.machine import NIL, NO_ROUND, Topic
from l1.consensus.messages import Proposal, Vote
from l1.staking.evidence import Evidence

Message = TypeVar("Message", Vote, Proposal)


def block(number: int) -> bytes:
    """A block's hash; that of 0 is NIL."""
    return number.to_bytes(32) if number else NIL


def signed(message: Message, number: int, domain: bytes) -> Message:
    """The message with the signature of key `number`."""
    return message._replace(signature=keys(number).secret.sign(message.digest(domain)))


def vote(
    domain: bytes, number: int = 1, at: int = 1, *, height: int = 9, round_: int = 0, topic: Topic = Topic.LOCK
) -> Vote:
    """A vote of key `number` for block `at`."""
    return signed(Vote(height, round_, topic, block(at), 0), number, domain)


def proposal(
    domain: bytes, number: int = 1, at: int = 1, *, height: int = 9, round_: int = 1, valid_round: int = NO_ROUND
) -> Proposal:
    """A proposal of block `at` by key `number`."""
    return signed(Proposal(height, round_, block(at), 0, valid_round), number, domain)


def evidence(first: Vote | Proposal, second: Vote | Proposal, number: int = 1) -> Evidence:
    """Evidence against key `number`."""
    return Evidence(first, second, keys(number).public)
