"""The governance contract of a chain, read through a node."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from coordinator.cli.l1.chain_node import ChainNode, NodeRefused, Reverted
from coordinator.cli.l1.sending import ContractAt, Sender
from coordinator.cli.l1.units import hexed
from verifier.errors import InvalidInput, NotFound, Unavailable

if TYPE_CHECKING:
    from l1.governance.contract import GovernanceReader, Submission

_BEGINNING: Final = re.compile(r"(?:0x)?([0-9a-f]{6,64})…?")


def governance_contract() -> ContractAt:
    """The contract, at its place in every genesis that has it."""
    from l1.governance.contract import CONTRACT
    from l1.governance.genesis import GOVERNANCE_ADDRESS

    return ContractAt(CONTRACT, GOVERNANCE_ADDRESS, "governance")


def sender(rpc: str, key: Path, password: Path | None) -> Sender:
    """Who sends to it. Raises as `Sender`."""
    return Sender(ChainNode.at(rpc), governance_contract(), key, password)


class GovernanceView:
    """What the contract holds at a node's newest block."""

    def __init__(self, node: ChainNode) -> None:
        """Raises Unavailable (W3B-5001, W3B-5003)."""
        self.node = node
        self.contract = governance_contract()
        node.require_contract(self.contract.address, self.contract.words)

    @cached_property
    def reader(self) -> GovernanceReader:
        """The contract's view functions."""
        from l1.governance.contract import GovernanceReader

        return GovernanceReader(self.contract.address, self._call)

    def submissions(self, proposal: bytes | None = None) -> dict[bytes, Submission]:
        """Drafts as they were submitted, by id: of one proposal, or of all."""
        from l1.governance.contract import decode_submission

        topic = hexed(self.contract.artifact.event_topic("ProposalSubmitted"))
        topics = [topic, None if proposal is None else hexed(proposal)]
        found = {}
        for log in self.node.logs(self.contract.address, topics):
            words = [bytes.fromhex(each[2:]) for each in log["topics"]]
            if submission := decode_submission(words, bytes.fromhex(log["data"][2:])):
                found[submission.proposal] = submission
        return found

    def find(self, given: str) -> bytes:
        """The whole id, of which 6 hex digits or more may be given.

        Raises InvalidInput (W3B-7008) for what is no id or fits several, NotFound (W3B-5002) for what fits none.
        """
        match = _BEGINNING.fullmatch(given.strip().lower())
        if match is None:
            raise InvalidInput(
                "W3B-7008",
                f"{given[:80]!r} is no proposal's id",
                field="id",
                next_step="Give the id, or its first 6 hex digits or more; `w3bstream l1 governance list` shows them.",
            )
        begins = [each for each in self.reader.proposal_ids() if each.hex().startswith(match[1])]
        if not begins:
            raise NotFound(
                "W3B-5002",
                f"no proposal begins with 0x{match[1]}",
                field="id",
                next_step="List the proposals with `w3bstream l1 governance list`.",
            )
        if len(begins) > 1:
            raise InvalidInput(
                "W3B-7008",
                f"{len(begins)} proposals begin with 0x{match[1]}",
                field="id",
                next_step="Give more digits.",
            )
        return begins[0]

    def _call(self, to: bytes, data: bytes) -> bytes:
        try:
            return self.node.call(to, data)
        except (NodeRefused, Reverted) as error:
            raise Unavailable(
                "W3B-5003",
                f"the node cannot read the governance contract: {error}",
                field="rpc",
                next_step="Name a node of the chain whose contracts are of this release.",
            ) from error
