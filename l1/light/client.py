"""Following the delegate sets of a chain by their certificates.

Header h names (in `extraData`) the root of the set that decides block h + 1; the certificate in the footer of block h is
that of the set which header h - 1 named. A set is in charge of one epoch, so that one header an epoch, the last, is all
that a client has to be shown to get from one set to the next, and one more for the block that it asks about.

Trust starts at a checkpoint: the genesis, or a block that was final less than the unbonding time ago. Whoever has
withdrawn his stake loses nothing by signing another history with an old key, so an older checkpoint shows nothing
(weak subjectivity).
"""

from __future__ import annotations

from dataclasses import dataclass

import rlp
from eth_hash.auto import keccak

from l1.chain.consensus_rules import RulesInvalid, decode_rules
from l1.consensus.certificate import CertificateError, check, from_footer
from l1.consensus.delegates import DelegateSet
from l1.consensus.messages import HASH_BYTES, domain_of
from l1.consensus.parameters import IIP_51, Parameters
from l1.consensus.schedule import epoch_of

UNBONDING_SECONDS = 3 * 24 * 3600
"""How long stake stays after its owner asks for it back (iotex-core: 3 days)."""
MAX_HEADER_BYTES = 4_096
_NUMBER, _TIMESTAMP, _EXTRA_DATA, _MIX_HASH = 8, 11, 12, 13
_FIELDS = range(15, 33)
"""Fields of a header: 15 at first (Yellow Paper §4.4), 21 since Prague; later forks append."""


class NotFinal(ValueError):
    """Why a header does not count. `reason` is `header` (bytes that are none), `stale` (the checkpoint is too old),
    `old` (below what is already followed), `epoch` (its set is not known), `set` (not the set that was named), `rules`
    (not those of the genesis), or one of `CertificateError`'s."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(reason, text)
        self.reason = reason


@dataclass(frozen=True)
class HeaderView:
    """What the client reads of a header."""

    hash: bytes
    number: int
    timestamp: int
    """Unix seconds."""
    next_root: bytes
    """Root of the set that decides the next block, 32 bytes."""
    mix_hash: bytes
    """In block 0 the commitment to the consensus rules, 32 bytes."""

    @classmethod
    def decode(cls, encoded: bytes) -> HeaderView:
        """Read header RLP. Raises NotFinal `header`."""
        try:
            if len(encoded) > MAX_HEADER_BYTES:
                raise NotFinal("header", f"a header of {len(encoded)} bytes; at most {MAX_HEADER_BYTES}")
            fields = rlp.decode(encoded, strict=True)
        except (rlp.DecodingError, RecursionError) as error:
            raise NotFinal("header", f"not canonical RLP: {error}") from error
        if not isinstance(fields, list) or len(fields) not in _FIELDS:
            raise NotFinal("header", "not a list of a header's fields")
        if not all(isinstance(each, bytes) for each in fields) or len(fields[_EXTRA_DATA]) != HASH_BYTES:
            raise NotFinal("header", "the header names no delegate set: its extraData has not 32 bytes")
        number, timestamp = (int.from_bytes(fields[at]) for at in (_NUMBER, _TIMESTAMP))
        if max(number, timestamp) >= 1 << 63:
            raise NotFinal("header", "a number or a time out of range")
        return cls(bytes(keccak(encoded)), number, timestamp, fields[_EXTRA_DATA], fields[_MIX_HASH])


@dataclass(frozen=True)
class Checkpoint:
    """Where trust starts."""

    chain_id: int
    genesis_hash: bytes
    """32 bytes."""
    header: bytes
    """RLP of a block that is trusted to be final."""
    delegates: DelegateSet
    """The set that this block names for the next."""


def parameters_of(genesis: bytes, rules: bytes) -> Parameters:
    """Parameters of the chain with this block 0.

    Parameters
    ----------
    genesis
        Its header, RLP.
    rules
        The chain's rules in their canonical form; empty for a chain whose genesis commits to none, which has IIP_51's.

    Raises
    ------
    NotFinal
        `header`, or `rules` when they are not those that the header commits to.
    """
    committed = HeaderView.decode(genesis).mix_hash
    if committed != (bytes(keccak(rules)) if rules else bytes(32)):
        raise NotFinal("rules", "the consensus rules are not those that the genesis commits to")
    try:
        return decode_rules(rules).parameters() if rules else IIP_51
    except RulesInvalid as error:
        raise NotFinal("rules", str(error)) from error


class LightClient:
    """What is known of one chain's sets. `advance` moves on; `require_final` does not."""

    def __init__(self, checkpoint: Checkpoint, parameters: Parameters, now: int) -> None:
        """
        Parameters
        ----------
        now
            Unix seconds. A checkpoint other than the genesis must be younger than `UNBONDING_SECONDS`.

        Raises
        ------
        NotFinal
            `stale`, `header`, or `set` when the delegates are not those that the header names.
        """
        head = HeaderView.decode(checkpoint.header)
        if head.number == 0 and head.hash != checkpoint.genesis_hash:
            raise NotFinal("header", "the checkpoint's block 0 is not the chain's genesis block")
        if head.number and now - head.timestamp >= UNBONDING_SECONDS:
            age = now - head.timestamp
            raise NotFinal("stale", f"the checkpoint is {age} s old; delegates may leave after {UNBONDING_SECONDS} s")
        _require_named(head, checkpoint.delegates)
        self._domain = domain_of(checkpoint.chain_id, checkpoint.genesis_hash)
        self.parameters = parameters
        """Of the chain; an epoch is as long as they say."""
        self.head = head
        """The newest header that the client moved on to."""
        self.delegates = checkpoint.delegates
        """The set that decides the blocks after it, to the end of the epoch."""

    def require_final(self, header: bytes, footer: bytes) -> HeaderView:
        """The header, once it is shown to be final. Raises NotFinal.

        It must lie after the client's head and in the epoch of the block that follows it.
        """
        seen = HeaderView.decode(header)
        if seen.number <= self.head.number:
            raise NotFinal("old", f"block {seen.number} is not after block {self.head.number}")
        epoch, known = (epoch_of(number, self.parameters) for number in (seen.number, self.head.number + 1))
        if epoch != known:
            raise NotFinal("epoch", f"block {seen.number} is of epoch {epoch}; the known set is that of epoch {known}")
        try:
            check(from_footer(footer, seen.number, seen.hash), self.delegates, self._domain)
        except CertificateError as error:
            raise NotFinal(error.reason, str(error.args[1])) from error
        return seen

    def advance(self, header: bytes, footer: bytes, delegates: DelegateSet | None = None) -> HeaderView:
        """Move on to a final header. Raises NotFinal, and then stays where it is.

        Parameters
        ----------
        delegates
            The set that the header names, when it is another than before.
        """
        seen = self.require_final(header, footer)
        following = self.delegates if delegates is None else delegates
        _require_named(seen, following)
        self.head, self.delegates = seen, following
        return seen


def _require_named(header: HeaderView, delegates: DelegateSet) -> None:
    if delegates.root() != header.next_root:
        found, named = delegates.root().hex(), header.next_root.hex()
        raise NotFinal("set", f"block {header.number} names the set 0x{named}, not 0x{found}")
