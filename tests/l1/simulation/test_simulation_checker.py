"""The checker sees what it is for: delegates with one rule taken out are caught within a few seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

from l1.consensus import effects
from l1.consensus.delegates import DelegateSet
from l1.consensus.driver import Driver
from l1.consensus.effects import Effect
from l1.consensus.machine import NIL, NO_ROUND, RoundStarted, TimedOut
from l1.consensus.messages import Certificate, Decision, Proposal, Vote
from l1.simulation.fault import Fault
from l1.simulation.plan import Wish
from l1.simulation.runs import run_one
from l1.simulation.world import Rule

SEEDS = 120


class Unlocked(Driver):
    """Forgets its lock when a round begins."""

    def on_proposal(self, proposal: Proposal, now: int, *, valid: bool) -> Sequence[Effect]:
        """Forget, then look at the proposal."""
        self.state = self.state._replace(locked_round=NO_ROUND, locked_hash=NIL)
        return super().on_proposal(proposal, now, valid=valid)


class Unlogged(Driver):
    """Writes nothing down before it votes."""

    def _take(self, now: int) -> Sequence[Effect]:
        return [effect for effect in super()._take(now) if not isinstance(effect, effects.Record)]


class Forgiving(Driver):
    """Takes a third of the power for a quorum."""

    def start_height(self, height: int, delegates: DelegateSet, last: int, now: int, entries: Any = ()) -> Any:
        """Count differently."""
        object.__setattr__(delegates, "quorum", delegates.third)
        return super().start_height(height, delegates, last, now, entries)


class Gullible(Driver):
    """Holds every block to be valid."""

    def on_proposal(self, proposal: Proposal, now: int, *, valid: bool) -> Sequence[Effect]:
        """Whatever the application says."""
        return super().on_proposal(proposal, now, valid=True)


class Mute(Driver):
    """Says everything once only, however much is lost."""

    def on_timer(self, height: int, what: TimedOut | RoundStarted | effects.ResendDue, now: int) -> Sequence[Effect]:
        """No second time."""
        return [] if isinstance(what, effects.ResendDue) else super().on_timer(height, what, now)


class Aloof(Driver):
    """Takes no decision from others."""

    def on_decision(self, decision: Decision, block_hash: bytes, now: int, *, valid: bool) -> Sequence[Effect]:
        """Not from them."""
        return []


class Lazy(Driver):
    """Certifies with one signer too few."""

    def __init__(self, parameters: Any, address: bytes | None, certify: Callable[..., Certificate]) -> None:
        def fewer(votes: Iterable[Vote], delegates: DelegateSet) -> Certificate:
            held, power = [], 0
            for vote in votes:
                if power + delegates.powers[vote.delegate] < delegates.quorum:
                    held.append(vote)
                    power += delegates.powers[vote.delegate]
            return certify(held, delegates)

        super().__init__(parameters, address, fewer)


class Clumsy(Driver):
    """Fails on a certificate."""

    def on_certificate(self, certificate: Certificate, now: int) -> Sequence[Effect]:
        """Fail."""
        raise ZeroDivisionError


class Stale(Driver):
    """Counts by the set that it began with."""

    def start_height(self, height: int, delegates: DelegateSet, last: int, now: int, entries: Any = ()) -> Any:
        """Whatever the set of the height is."""
        first = getattr(self, "delegates", delegates)
        return super().start_height(height, first, last, now, entries)


class Squatter(Driver):
    """Keeps its seat in a set that it is not in."""

    def start_height(self, height: int, delegates: DelegateSet, last: int, now: int, entries: Any = ()) -> Any:
        """And its index."""
        before = getattr(self, "index", None)
        asked = super().start_height(height, delegates, last, now, entries)
        if self.index is None and before is not None and before < len(delegates):
            self.index = before
        return asked


@pytest.mark.parametrize(
    ("broken", "rules", "faults"),
    [
        (Unlocked, {"lock", "agreement"}, set(Fault)),
        (Unlogged, {"equivocation"}, {Fault.CRASH, Fault.DELAY, Fault.LOSS}),
        (Forgiving, {"quorum", "certificate", "agreement"}, {Fault.PARTITION, Fault.EQUIVOCATING}),
        (Gullible, {"validity"}, {Fault.INVALID_BLOCKS}),
        (Mute, {"liveness"}, {Fault.LOSS}),
        (Aloof, {"liveness"}, {Fault.PARTITION, Fault.LOSS}),
        (Lazy, {"certificate"}, set()),
        (Clumsy, {"exception"}, {Fault.FORGED_PROOFS}),
        (Stale, {"liveness", "quorum", "certificate", "seat"}, {Fault.CHURN}),
        (Squatter, {"seat"}, {Fault.CHURN}),
    ],
    ids=lambda given: given.__name__ if isinstance(given, type) else "",
)
def test_a_broken_rule_is_seen(broken: type[Driver], rules: set[str], faults: set[Fault]) -> None:
    """Each of these is a delegate that one could write by mistake."""
    wish = Wish(frozenset(faults))
    for seed in range(SEEDS):
        violations = run_one(seed, wish, Rule(broken)).violations
        if violations:
            assert {violation.rule for violation in violations} <= rules
            return
    pytest.fail(f"{broken.__name__} got through {SEEDS} seeds")
