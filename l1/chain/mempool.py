"""Transactions that wait for a block. Plain data: the caller gives the state, nothing here reads a clock or a socket.

A sender's transactions are ordered by nonce. Those from the account's nonce on without a gap are *pending* and may be
put into a block; those after a gap are *queued*. Messages are geth's.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from native import _native

PRICE_BUMP_PERCENT = 10
"""A replacement must raise both the fee cap and the tip by this much (geth's default)."""
_SLACK = 1_024
"""Entries of the eviction heap that may be out of date beyond the pool's size."""


class MempoolRefused(ValueError):
    """A transaction is not taken; the message is the JSON-RPC error's."""


@dataclass(frozen=True)
class MempoolLimits:
    """Sizes of the pool."""

    transactions: int = 20_000
    """Transactions in all; when it is full the lowest tip goes."""
    queued_per_account: int = 64
    """Transactions of one account after a gap."""
    transaction_bytes: int = 131_072
    """Encoded size of one transaction."""
    minimum_tip: int = 1
    """Wei per gas."""


@dataclass
class _Sender:
    nonce: int
    """The account's nonce on the head."""
    next_nonce: int
    """First nonce from `nonce` on that is missing: pending end here."""
    transactions: dict[int, _native.Transaction] = field(default_factory=dict)
    cost: int = 0
    """Sum of the transactions' cost, wei."""
    last: int = -1
    """Highest nonce of the transactions; means nothing when there are none."""

    def put(self, transaction: _native.Transaction) -> None:
        """Add a transaction with a nonce that is free."""
        self.last = max(self.last, transaction.nonce) if self.transactions else transaction.nonce
        self.transactions[transaction.nonce] = transaction
        self.cost += transaction.cost
        self.settle()

    def drop(self, transaction: _native.Transaction) -> bool:
        """Take a transaction out; whether another one is now the last."""
        del self.transactions[transaction.nonce]
        self.cost -= transaction.cost
        self.next_nonce = min(self.next_nonce, max(transaction.nonce, self.nonce))
        if transaction.nonce != self.last or not self.transactions:
            return False
        below = self.last - 1
        self.last = below if below in self.transactions else max(self.transactions)
        return True

    def settle(self) -> None:
        """Move `next_nonce` over what is present."""
        self.next_nonce = max(self.next_nonce, self.nonce)
        while self.next_nonce in self.transactions:
            self.next_nonce += 1

    @property
    def pending(self) -> int:
        return self.next_nonce - self.nonce

    @property
    def queued(self) -> int:
        return len(self.transactions) - self.pending


class Mempool:
    """The waiting transactions of one node."""

    def __init__(self, limits: MempoolLimits | None = None) -> None:
        self._limits = limits or MempoolLimits()
        self._senders: dict[bytes, _Sender] = {}
        self._by_hash: dict[bytes, _native.Transaction] = {}
        self._arrival: dict[bytes, int] = {}
        self._arrivals = 0
        # Heap of (tip, -arrival, hash) over senders' last transactions; entries that no longer are one are passed over.
        self._lasts: list[tuple[int, int, bytes]] = []
        self._listeners: list[Callable[[_native.Transaction], None]] = []
        self.version = 0
        """Grows with every change."""

    def __len__(self) -> int:
        return len(self._by_hash)

    def subscribe(self, listener: Callable[[_native.Transaction], None]) -> None:
        """Have `listener` called with every transaction that is taken."""
        self._listeners.append(listener)

    def get(self, transaction_hash: bytes) -> _native.Transaction | None:
        """A waiting transaction."""
        return self._by_hash.get(transaction_hash)

    def status(self) -> tuple[int, int]:
        """(pending, queued) transactions."""
        pending = sum(sender.pending for sender in self._senders.values())
        return pending, len(self._by_hash) - pending

    def next_nonce(self, address: bytes, account_nonce: int) -> int:
        """The nonce after the sender's pending transactions."""
        sender = self._senders.get(address)
        return account_nonce if sender is None else max(sender.next_nonce, account_nonce)

    def add(self, transaction: _native.Transaction, view: _native.StateView) -> None:
        """Take a transaction, or say why not.

        Parameters
        ----------
        transaction
            Decoded, sender recovered.
        view
            State of the head.

        Raises
        ------
        MempoolRefused
            Known, invalid on this state, underpriced, over a limit, or not covered by the balance together with the
            sender's other transactions.
        """
        if transaction.hash in self._by_hash:
            raise MempoolRefused("already known")
        self._check(transaction, view)
        address = transaction.sender
        account_nonce = view.nonce(address)
        sender = self._senders.get(address) or _Sender(account_nonce, account_nonce)
        old = sender.transactions.get(transaction.nonce)
        if old is not None and not _outbids(transaction, old):
            raise MempoolRefused("replacement transaction underpriced")
        cost = sender.cost + transaction.cost - (0 if old is None else old.cost)
        balance = view.balance(address)
        if cost > balance:
            raise MempoolRefused(
                f"insufficient funds for gas * price + value: balance {balance}, queued cost {sender.cost}, "
                f"tx cost {transaction.cost}, overshot {cost - balance}"
            )
        if old is None:
            self._make_room(transaction, sender)
        else:
            self._forget(old)
        # The sender may have lost its last transaction when room was made.
        self._senders[address] = sender
        sender.put(transaction)
        self._by_hash[transaction.hash] = transaction
        self._arrivals += 1
        self._arrival[transaction.hash] = self._arrivals
        if sender.last == transaction.nonce:
            self._note_last(transaction)
        self.version += 1
        for listener in self._listeners:
            listener(transaction)

    def executable(self, base_fee: int, limit: int) -> list[_native.Transaction]:
        """Pending transactions that can pay `base_fee`, best tip first, each sender in nonce order, at most `limit`."""
        heads: list[tuple[int, int, int, bytes]] = []

        def push(address: bytes, nonce: int) -> None:
            transaction = self._senders[address].transactions[nonce]
            tip = transaction.effective_tip(base_fee)
            if tip is not None:
                heads.append((-tip, self._arrival[transaction.hash], nonce, address))

        for address, sender in self._senders.items():
            if sender.pending:
                push(address, sender.nonce)
        heapq.heapify(heads)
        chosen: list[_native.Transaction] = []
        while heads and len(chosen) < limit:
            _, _, nonce, address = heapq.heappop(heads)
            sender = self._senders[address]
            chosen.append(sender.transactions[nonce])
            if nonce + 1 < sender.next_nonce:
                following = sender.transactions[nonce + 1]
                tip = following.effective_tip(base_fee)
                if tip is not None:
                    heapq.heappush(heads, (-tip, self._arrival[following.hash], nonce + 1, address))
        return chosen

    def advance(self, mined: Iterable[_native.Transaction], view: _native.StateView) -> None:
        """Drop what a new block made obsolete. `view` is the state after it."""
        for address in {transaction.sender for transaction in mined}:
            sender = self._senders.get(address)
            if sender is None:
                continue
            nonce = view.nonce(address)
            for obsolete in [n for n in range(sender.nonce, nonce) if n in sender.transactions]:
                self._forget(sender.transactions[obsolete])
            sender.nonce = nonce
            sender.settle()
            self._drop_if_empty(address)
        self.version += 1

    def rebase(self, view: _native.StateView) -> None:
        """Read every account's nonce anew, after the head was rolled back."""
        for address, sender in self._senders.items():
            sender.nonce = sender.next_nonce = view.nonce(address)
            sender.settle()
        self.version += 1

    def remove(self, transaction_hash: bytes) -> None:
        """Drop one transaction; later ones of its sender become queued."""
        transaction = self._by_hash.get(transaction_hash)
        if transaction is not None:
            self._forget(transaction)
            self._drop_if_empty(transaction.sender)
            self.version += 1

    def _check(self, transaction: _native.Transaction, view: _native.StateView) -> None:
        size = len(transaction.encoded)
        if size > self._limits.transaction_bytes:
            raise MempoolRefused(f"oversized data: transaction size {size}, limit {self._limits.transaction_bytes}")
        try:
            transaction.check(view)
        except _native.TransactionRefused as error:
            raise MempoolRefused(str(error)) from error
        if transaction.max_priority_fee_per_gas < self._limits.minimum_tip:
            raise MempoolRefused(
                f"transaction underpriced: gas tip cap {transaction.max_priority_fee_per_gas}, "
                f"minimum needed {self._limits.minimum_tip}"
            )

    def _make_room(self, transaction: _native.Transaction, sender: _Sender) -> None:
        if transaction.nonce > sender.next_nonce and sender.queued >= self._limits.queued_per_account:
            raise MempoolRefused(
                f"account queue is full: {sender.queued} transactions wait for nonce {sender.next_nonce}"
            )
        if len(self._by_hash) < self._limits.transactions:
            return
        victim = self._cheapest_last()
        same_sender = victim.sender == transaction.sender
        if same_sender or victim.max_priority_fee_per_gas >= transaction.max_priority_fee_per_gas:
            raise MempoolRefused("txpool is full: raise the tip or try again later")
        self._forget(victim)
        self._drop_if_empty(victim.sender)

    def _forget(self, transaction: _native.Transaction) -> None:
        sender = self._senders[transaction.sender]
        del self._by_hash[transaction.hash]
        del self._arrival[transaction.hash]
        if sender.drop(transaction):
            self._note_last(sender.transactions[sender.last])

    def _note_last(self, transaction: _native.Transaction) -> None:
        entry = (transaction.max_priority_fee_per_gas, -self._arrival[transaction.hash], transaction.hash)
        heapq.heappush(self._lasts, entry)
        if len(self._lasts) > 2 * len(self._by_hash) + _SLACK:
            self._lasts = [known for known in self._lasts if self._is_last(known)]
            heapq.heapify(self._lasts)

    def _is_last(self, entry: tuple[int, int, bytes]) -> bool:
        _, arrival, transaction_hash = entry
        transaction = self._by_hash.get(transaction_hash)
        if transaction is None or self._arrival[transaction_hash] != -arrival:
            return False
        return self._senders[transaction.sender].last == transaction.nonce

    def _cheapest_last(self) -> _native.Transaction:
        """The lowest tip, and of those the newest, among what may go: only a sender's last nonce, since any other would
        queue those behind it."""
        while not self._is_last(self._lasts[0]):
            heapq.heappop(self._lasts)
        return self._by_hash[self._lasts[0][2]]

    def _drop_if_empty(self, address: bytes) -> None:
        if not self._senders[address].transactions:
            del self._senders[address]


def _outbids(new: _native.Transaction, old: _native.Transaction) -> bool:
    factor = 100 + PRICE_BUMP_PERCENT
    return (
        new.max_fee_per_gas * 100 >= old.max_fee_per_gas * factor
        and new.max_priority_fee_per_gas * 100 >= old.max_priority_fee_per_gas * factor
    )
