"""Telling the chain of delegates that contradicted themselves, so that they are punished.

Every delegate that has the evidence may report it, and one report is enough: they take turns by their places in the set,
so that mostly only the first one pays for it. A report goes on until the contract knows the offence; what is still to be
reported is in the file of convictions, and survives a restart.
"""

from __future__ import annotations

import logging
from typing import Final, NamedTuple

from coincurve import PrivateKey

from l1.chain.blockchain import Blockchain
from l1.chain.duties import signed_transaction
from l1.chain.mempool import Mempool, MempoolRefused
from l1.nodes.convictions import Conviction
from l1.nodes.keys import DelegateKeys
from l1.staking.evidence import EVIDENCE, EVIDENCE_ADDRESS
from native import _native

TURN_BLOCKS: Final = 2
"""How many blocks later each next delegate of the set reports, and how long one waits for its own report."""
_GAS: Final = 1_000_000  # a report takes about half of it (docs/explanation/staking.md)
_TIP: Final = 10**9

log = logging.getLogger(__name__)


class _Pending(NamedTuple):
    conviction: Conviction
    at: int
    """Height from which on to report it."""


class Reporter:
    """What one delegate has to report. One thread at a time."""

    def __init__(self, chain: Blockchain, mempool: Mempool, keys: DelegateKeys) -> None:
        self._chain = chain
        self._mempool = mempool
        self._keys = keys
        self._pending: dict[bytes, _Pending] = {}

    def add(self, conviction: Conviction) -> None:
        """Report a conviction when it is this delegate's turn. A chain without staking punishes nobody."""
        if self._chain.staking is None:
            return
        height = self._chain.head_number + 1
        place = self._chain.delegates_at(height).index_of(self._keys.address)
        if place is not None:
            self._pending[conviction.offence] = _Pending(conviction, height + TURN_BLOCKS * place)

    def look(self) -> None:
        """Report what is due after the present head."""
        height = self._chain.head_number + 1
        due = [offence for offence, each in self._pending.items() if each.at <= height]
        for offence in due:
            conviction = self._pending[offence].conviction
            if self._is_settled(conviction):
                del self._pending[offence]
            else:
                self._send(conviction)
                self._pending[offence] = _Pending(conviction, height + TURN_BLOCKS)

    def _is_settled(self, conviction: Conviction) -> bool:
        """Whether the contract knows the offence, or refuses it for good."""
        if EVIDENCE.decode_result("isPunished", self._call(EVIDENCE.encode_call("isPunished", conviction.offence))[1])[
            0
        ]:
            return True
        takes, answer = self._call(conviction.report)
        if not takes:
            reason = EVIDENCE.error_name(answer) or "out of gas"
            log.error("the chain does not take evidence 0x%s: %s", conviction.offence.hex(), reason)
        return not takes

    def _call(self, data: bytes) -> tuple[bool, bytes]:
        result = self._chain.view(self._chain.head_number).call(
            sender=self._keys.address,
            to=EVIDENCE_ADDRESS,
            data=data,
            value=0,
            gas=None,
            gas_price=0,
            tip=None,
            access_list=[],
            gas_cap=_GAS,
        )
        return result.status == "success", result.output

    def _send(self, conviction: Conviction) -> None:
        view = self._chain.view(self._chain.head_number)
        sender = self._keys.address
        transaction = signed_transaction(
            PrivateKey(self._keys.operator),
            chain_id=self._chain.chain_id,
            nonce=self._mempool.next_nonce(sender, view.nonce(sender)),
            tip=_TIP,
            fee=2 * self._chain.next_base_fee + _TIP,
            gas=_GAS,
            to=EVIDENCE_ADDRESS,
            data=conviction.report,
        )
        try:
            self._mempool.add(transaction, view)
        except (MempoolRefused, _native.TransactionRefused) as error:
            log.warning("evidence 0x%s cannot be reported now: %s", conviction.offence.hex(), error)
