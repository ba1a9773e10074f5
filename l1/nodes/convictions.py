"""Delegates that contradicted themselves, with what shows it to anybody: two messages with their signatures."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from l1.consensus.delegates import DelegateSet
from l1.consensus.effects import Convict
from l1.consensus.messages import Proposal, Vote, encode

NAME = "evidence.jsonl"
"""One line for each conviction, in the node's folder."""

log = logging.getLogger(__name__)


class Convictions:
    """What one node has seen."""

    def __init__(self, folder: Path, delegates: DelegateSet) -> None:
        self._path = folder / NAME
        self._delegates = delegates
        self._found: dict[int, tuple[int, str]] = {}

    def knows(self, found: Convict) -> bool:
        """Whether this delegate is convicted already: once is enough."""
        return found.evidence[0].delegate in self._found

    def add(self, found: Convict) -> None:
        """Remember a conviction, and write it down."""
        if self.knows(found):
            return
        first, second = found.evidence
        kind = type(first).__name__.lower()
        self._found[first.delegate] = (first.height, kind)
        address = "0x" + self._delegates.members[first.delegate].address.hex()
        log.critical("delegate %s contradicted itself at height %d (%s)", address, first.height, kind)
        messages = ["0x" + encode(_without_block(each)).hex() for each in (first, second)]
        line = {"height": first.height, "delegate": address, "kind": kind, "messages": messages}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def summary(self) -> dict[str, dict[str, object]]:
        """Address of each convicted delegate, with the height and the kind of message."""
        return {
            "0x" + self._delegates.members[index].address.hex(): {"height": hex(height), "kind": kind}
            for index, (height, kind) in self._found.items()
        }


def _without_block(message: Vote | Proposal) -> Vote | Proposal:
    """What convicts: a proposal's signature is on its block's hash."""
    return message._replace(block=b"") if isinstance(message, Proposal) else message
