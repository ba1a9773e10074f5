"""The leases of this process on the steady clock, by attempt. The ledger holds the same ends in wall time, for people
and as the record of who has what; whether a lease is over is decided here."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from coordinator.scheduling.status import renewed_until
from coordinator.scheduling.values import Limits


@dataclass
class _Lease:
    until: int
    proving_since: int | None = None


class LeaseBook:
    """Times are steady milliseconds. Parameters: the policy's `limits`."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._leases: dict[int, _Lease] = {}

    def begin(self, attempt_id: int, until: int) -> None:
        """A lease that runs until then unless it is renewed."""
        self._leases[attempt_id] = _Lease(until)

    def start(self, attempt_id: int, now: int, left_ms: int) -> None:
        """The attempt is proven from now on; its deadline is `left_ms` away."""
        self._leases[attempt_id] = _Lease(renewed_until(now, now, now + left_ms, self._limits), now)

    def renew(self, attempt_id: int, now: int, left_ms: int) -> int:
        """Renew the lease, up to the attempt's longest time and its deadline; returns milliseconds until its end."""
        lease = self._leases[attempt_id]
        lease.until = max(lease.until, renewed_until(now, lease.proving_since, now + left_ms, self._limits))
        return lease.until - now

    def is_over(self, attempt_id: int, now: int) -> bool:
        """Whether the lease ran out. One that is not known here begins now: it is another process's, taken over."""
        if attempt_id not in self._leases:
            self.begin(attempt_id, now + self._limits.lease_ms)
        return self._leases[attempt_id].until <= now

    def running_ms(self, attempt_id: int, now: int) -> int | None:
        """How long the attempt has been proven; None when it is not."""
        lease = self._leases.get(attempt_id)
        return None if lease is None or lease.proving_since is None else now - lease.proving_since

    def keep(self, attempts: Collection[int]) -> None:
        """Forget all but these."""
        self._leases = {each: lease for each, lease in self._leases.items() if each in attempts}
