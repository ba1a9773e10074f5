"""Delegates that contradicted themselves, with what shows it to anybody: two messages with their signatures."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import NamedTuple

from l1.consensus.delegates import DelegateSet
from l1.consensus.effects import Convict
from l1.consensus.messages import Proposal, Vote, encode
from l1.staking.evidence import Evidence, encode_evidence, offence_id

NAME = "evidence.jsonl"
"""One line for each conviction, in the node's folder."""


class Conviction(NamedTuple):
    """What convicts a delegate, as the chain takes it."""

    offence: bytes
    """Its name, 32 bytes (`l1.staking.evidence.offence_id`)."""
    report: bytes
    """Call data for the evidence contract."""


log = logging.getLogger(__name__)


class Convictions:
    """What one node has seen."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._found: dict[bytes, tuple[int, str]] = {}

    def knows(self, found: Convict, delegates: DelegateSet) -> bool:
        """Whether this delegate is convicted already: once is enough.

        Parameters
        ----------
        delegates
            The set of the height that the messages are of.
        """
        return delegates.members[found.evidence[0].delegate].address in self._found

    def stored(self) -> list[Conviction]:
        """What was written down, in this run and before it. A line that is no conviction is left out, and logged."""
        if not self._path.exists():
            return []
        kept = []
        for number, line in enumerate(self._path.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                document = json.loads(line)
                kept.append(Conviction(bytes.fromhex(document["offence"][2:]), bytes.fromhex(document["report"][2:])))
            except (KeyError, TypeError, ValueError) as error:
                log.warning("%s: line %d is no conviction: %r", self._path, number, error)
        return kept

    def add(self, found: Convict, delegates: DelegateSet) -> Conviction | None:
        """Remember a conviction, and write it down; None for one that is known."""
        if self.knows(found, delegates):
            return None
        first, second = found.evidence
        evidence = Evidence(first, second, delegates.members[first.delegate].key)
        conviction = Conviction(offence_id(evidence), encode_evidence(evidence))
        kind = type(first).__name__.lower()
        convicted = delegates.members[first.delegate].address
        self._found[convicted] = (first.height, kind)
        address = "0x" + convicted.hex()
        log.critical("delegate %s contradicted itself at height %d (%s)", address, first.height, kind)
        messages = ["0x" + encode(_without_block(each)).hex() for each in (first, second)]
        line = {
            "height": first.height,
            "delegate": address,
            "kind": kind,
            "messages": messages,
            "offence": "0x" + conviction.offence.hex(),
            "report": "0x" + conviction.report.hex(),
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        return conviction

    def summary(self) -> dict[str, dict[str, object]]:
        """Address of each convicted delegate, with the height and the kind of message."""
        return {
            "0x" + address.hex(): {"height": hex(height), "kind": kind}
            for address, (height, kind) in self._found.items()
        }


def _without_block(message: Vote | Proposal) -> Vote | Proposal:
    """What convicts: a proposal's signature is on its block's hash."""
    return message._replace(block=b"") if isinstance(message, Proposal) else message
