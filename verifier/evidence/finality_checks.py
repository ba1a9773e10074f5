"""Whether the file's blocks are final: the delegates' signatures, followed from the genesis.

Nobody's word is needed for it: a reader who knows the genesis' hash knows the first delegates, and each epoch's last
block, signed by them, names the next ones.
"""

from __future__ import annotations

from collections.abc import Sequence

from l1.consensus.delegates import Delegate, DelegateSet, DelegateSetError
from l1.consensus.schedule import epoch_of
from l1.light.client import Checkpoint, LightClient, NotFinal, parameters_of
from verifier.errors import Refused
from verifier.evidence.blocks import Header
from verifier.evidence.document import DelegatePart, Document, EpochPart, FinalityPart
from verifier.evidence.report import Checks, require
from verifier.evidence.trust import runs

FINALITY = "W3B-9012"


def check_finality(document: Document, headers: Sequence[Header], checks: Checks) -> None:
    """Every run of headers ends in a block that the delegates signed. Raises Refused (W3B-9012).

    A file whose finality rests on somebody's word has nothing to check; that word is an anchor (`trust.py`).
    """
    part = document.finality
    if part is None:
        return
    with checks.checking("finality", f"the delegates of {len(part.epochs) + 1} epochs signed the file's blocks"):
        try:
            _follow(part, _client(document, part), [run[-1] for run in runs(headers)])
        except (NotFinal, DelegateSetError) as error:
            raise Refused(FINALITY, str(error.args[-1]), field="finality") from error


def _client(document: Document, part: FinalityPart) -> LightClient:
    chain = document.chain
    start = Checkpoint(chain.chain_id, chain.genesis, part.genesis, _set(part.delegates))
    client = LightClient(start, parameters_of(part.genesis, part.rules), now=0)
    require(client.head.number == 0, FINALITY, f"the genesis header is that of block {client.head.number}")
    return client


def _follow(part: FinalityPart, client: LightClient, ends: Sequence[Header]) -> None:
    require(len(part.footers) == len(ends), FINALITY, f"{len(part.footers)} footers for {len(ends)} runs of blocks")
    epochs = list(part.epochs)
    for end, footer in zip(ends, part.footers, strict=True):
        while epoch_of(end.number, client.parameters) > epoch_of(client.head.number + 1, client.parameters):
            require(bool(epochs), FINALITY, f"the delegates that decided block {end.number} are not in the file")
            _advance(client, epochs.pop(0))
        client.require_final(end.encoded, footer)
    require(not epochs, FINALITY, f"{len(epochs)} epochs after the last block")


def _advance(client: LightClient, epoch: EpochPart) -> None:
    client.advance(epoch.header, epoch.footer, _set(epoch.delegates) if epoch.delegates else None)


def _set(parts: Sequence[DelegatePart]) -> DelegateSet:
    return DelegateSet(tuple(Delegate(each.address, each.power, each.key) for each in parts))
