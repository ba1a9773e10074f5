"""Whether the service can do its work, and why not: pure functions of what was looked at.

Ready means: a reading that came in now would be proven and settled, or another coordinator would see to it. What only
slows the work down (a full queue, a prover that starts) is a metric and no check.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from verifier.error_codes import CODES

CHECKS = ("ledger", "leader", "nats", "chain", "provers", "disk")
"""Their names, in the order in which they are told."""
HEAD_SECONDS = 60.0
"""A chain whose head stands still for so long while a transaction waits for a block does not work."""


@dataclass(frozen=True)
class Check:
    """One check's outcome."""

    name: str
    ok: bool
    code: str = ""
    """Error code of why not; empty when it holds."""
    reason: str = ""

    def as_json(self) -> dict[str, object]:
        """For `/readyz`."""
        told: dict[str, object] = {"name": self.name, "ok": self.ok}
        if not self.ok:
            told |= {"code": self.code, "reason": self.reason, "next_step": CODES[self.code].next_step}
        return told


@dataclass(frozen=True)
class Seen:
    """What was looked at. An empty error means that the part answered."""

    ledger_error: tuple[str, str] | None = None
    """(code, reason) when the ledger cannot be read."""
    beat_seconds: float | None = 0.0
    """Since the ledger last took a write of this coordinator's; None when it never did."""
    beat_within: float = 30.0
    """How old that may be."""
    leader: str = ""
    """Who leads; empty when nobody does."""
    nats_error: str = ""
    chain_error: tuple[str, str] | None = None
    head_still_seconds: float = 0.0
    """Since the chain's head last moved, as far as this process looked."""
    waits_for_block: bool = False
    """Whether a transaction is SENT."""
    waiting: Mapping[tuple[str, ...], int] | None = None
    """OPEN tasks that no prover works on, by the kinds that may prove them."""
    online: Collection[str] = ()
    """Kinds with a prover that is IDLE or BUSY."""
    disk_free: int = 0
    disk_reserve: int = 0
    """Both in bytes."""


def judge(seen: Seen) -> tuple[Check, ...]:
    """Every check, in the order of `CHECKS`."""
    return (_ledger(seen), _leader(seen), _nats(seen), _chain(seen), _provers(seen), _disk(seen))


def _ledger(seen: Seen) -> Check:
    if seen.ledger_error is not None:
        return Check("ledger", False, *seen.ledger_error)
    if seen.beat_seconds is None or seen.beat_seconds > seen.beat_within:
        since = "ever" if seen.beat_seconds is None else f"for {seen.beat_seconds:.0f} s"
        return Check("ledger", False, "W3B-8020", f"the ledger has not taken a write of this coordinator {since}")
    return Check("ledger", True)


def _leader(seen: Seen) -> Check:
    if seen.leader or seen.ledger_error is not None:
        return Check("leader", True)
    return Check("leader", False, "W3B-8021", "no coordinator leads")


def _nats(seen: Seen) -> Check:
    if seen.nats_error:
        return Check("nats", False, "W3B-1008", seen.nats_error)
    return Check("nats", True)


def _chain(seen: Seen) -> Check:
    if seen.chain_error is not None:
        return Check("chain", False, *seen.chain_error)
    if seen.waits_for_block and seen.head_still_seconds > HEAD_SECONDS:
        reason = f"no block for {seen.head_still_seconds:.0f} s, and transactions wait for one"
        return Check("chain", False, "W3B-8022", reason)
    return Check("chain", True)


def _provers(seen: Seen) -> Check:
    stuck = {kinds: count for kinds, count in (seen.waiting or {}).items() if not set(kinds) & set(seen.online)}
    if not stuck:
        return Check("provers", True)
    told = "; ".join(f"{count} waiting for {' or '.join(kinds)}" for kinds, count in sorted(stuck.items()))
    return Check("provers", False, "W3B-8023", f"tasks without any prover online: {told}")


def _disk(seen: Seen) -> Check:
    if seen.disk_free < seen.disk_reserve:
        mib = 1 << 20
        reason = f"{seen.disk_free // mib} MiB are free in the home folder, less than {seen.disk_reserve // mib}"
        return Check("disk", False, "W3B-8024", reason)
    return Check("disk", True)
