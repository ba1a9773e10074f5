"""Retry, assurance and status: each a function of values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.scheduling.assurance import is_at_risk, wanted_kinds
from coordinator.scheduling.retry import is_exhausted, next_delay_ms
from coordinator.scheduling.status import is_heard, prover_status, renewed_until
from coordinator.scheduling.values import Limits, OpenTask, ProverStatus
from verifier.assurance import Assurance, Proven, Verdict, judge

LIMITS = Limits()
KINDS = ("zkp.groth16", "tee.sgx", "test.hash")
NOW = 1_000_000


@given(st.integers(1, 10_000), st.text(max_size=70))
def test_a_delay_is_between_half_and_all_of_the_capped_exponential(attempts: int, task_id: str) -> None:
    whole = min(LIMITS.backoff_most_ms, LIMITS.backoff_first_ms * 2 ** min(attempts - 1, 40))
    delay = next_delay_ms(attempts, task_id, LIMITS)
    assert whole // 2 <= delay <= whole
    assert delay == next_delay_ms(attempts, task_id, LIMITS)


def test_tasks_that_failed_together_do_not_come_back_together() -> None:
    assert len({next_delay_ms(3, f"task {n}", LIMITS) for n in range(100)}) > 90


@pytest.mark.parametrize("attempts", [0, -1])
def test_there_is_no_delay_before_the_first_attempt(attempts: int) -> None:
    with pytest.raises(ValueError, match="follows a lost attempt"):
        next_delay_ms(attempts, "t", LIMITS)


def test_the_cap_ends_the_retries() -> None:
    assert [is_exhausted(n, LIMITS) for n in (0, 4, 5, 6)] == [False, False, True, True]


@given(
    st.lists(st.sampled_from(KINDS), min_size=1, max_size=3, unique=True),
    st.integers(1, 3),
    st.lists(st.builds(Proven, st.sampled_from((*KINDS, "other")), st.sampled_from(["0xaa", "0xbb"])), max_size=6),
)
def test_satisfied_means_one_output_and_enough_distinct_allowed_kinds(
    kinds: list[str], threshold: int, proofs: list[Proven]
) -> None:
    if threshold > len(kinds):
        with pytest.raises(ValueError, match="threshold"):
            judge(Assurance(threshold, tuple(kinds)), proofs)
        return
    found = judge(Assurance(threshold, tuple(kinds)), proofs)
    counted = [proof for proof in proofs if proof.kind in kinds]
    outputs = {proof.output for proof in counted}
    if len(outputs) > 1:
        assert found.verdict is Verdict.CONFLICT
        assert found.output == ""
    elif len({proof.kind for proof in counted}) >= threshold:
        assert found.verdict is Verdict.SATISFIED
        assert {found.output} == outputs
    else:
        assert found.verdict is Verdict.MISSING


def test_a_second_proof_of_one_kind_counts_once() -> None:
    twice = [Proven(KINDS[0], "0xaa"), Proven(KINDS[0], "0xaa")]
    assert judge(Assurance(2, KINDS), twice).verdict is Verdict.MISSING


def test_a_kind_that_the_project_does_not_allow_neither_satisfies_nor_freezes() -> None:
    one = Assurance(1, KINDS[:1])
    assert judge(one, [Proven("other", "0xbb")]).verdict is Verdict.MISSING
    assert judge(one, [Proven(KINDS[0], "0xaa"), Proven("other", "0xbb")]).verdict is Verdict.SATISFIED


def test_an_unknown_kind_under_way_does_not_count_against_what_is_missing() -> None:
    two, one = (OpenTask("t", 1, KINDS, threshold, NOW + 1000) for threshold in (2, 1))
    assert wanted_kinds(NOW, two, frozenset({"other"}), LIMITS) == (KINDS, 2)
    assert wanted_kinds(NOW, two, frozenset({KINDS[0]}), LIMITS) == (KINDS[1:], 1)
    assert wanted_kinds(NOW, one, frozenset({KINDS[0]}), LIMITS) == (KINDS[1:], 0)


def with_fallback(threshold: int, *, used: int = 0, proven: frozenset[str] = frozenset()) -> OpenTask:
    """A task whose last kind stands in when the deadline is at risk, a second from now."""
    return OpenTask(
        "t",
        1,
        KINDS,
        threshold,
        NOW + 4000,
        attempts_used=used,
        proven_kinds=proven,
        fallback=KINDS[2],
        risk_at=NOW + 1000,
    )


def test_the_kind_after_else_waits_until_the_deadline_is_at_risk() -> None:
    task, first = with_fallback(1), frozenset(KINDS[:1])
    assert wanted_kinds(NOW + 999, task, frozenset(), LIMITS) == (KINDS[:2], 1)
    assert wanted_kinds(NOW + 999, task, first, LIMITS) == (KINDS[1:2], 0)
    assert wanted_kinds(NOW + 1000, task, frozenset(), LIMITS) == (KINDS, 1), "the others still come first"
    assert wanted_kinds(NOW + 1000, task, first, LIMITS)[1] == 1, "beside the one that may come too late"
    assert wanted_kinds(NOW + 1000, task, frozenset(KINDS[::2]), LIMITS) == (KINDS[1:2], 0), "once"
    last = with_fallback(1, used=LIMITS.attempt_cap - 1)
    assert is_at_risk(NOW, last, LIMITS), "its last attempt"
    assert wanted_kinds(NOW, last, first, LIMITS)[1] == 1


def test_nothing_stands_in_for_what_is_proven() -> None:
    both = frozenset(KINDS[:2])
    assert wanted_kinds(NOW + 2000, with_fallback(2, proven=both), both, LIMITS)[1] == 0
    assert wanted_kinds(NOW + 2000, with_fallback(2, proven=frozenset(KINDS[:1])), both, LIMITS) == (KINDS[2:], 1)


@given(st.integers(0, 20_000), st.booleans(), st.booleans(), st.booleans())
def test_status_follows_from_heartbeat_readiness_lease_and_drain(
    age: int, ready: bool, draining: bool, leased: bool
) -> None:
    status, reason = prover_status(NOW, ready=ready, heard=NOW - age, draining=draining, leased=leased, limits=LIMITS)
    heard = age < 3 * LIMITS.heartbeat_ms
    assert is_heard(NOW, NOW - age, LIMITS) is heard
    if not heard or not ready:
        assert status is ProverStatus.OFFLINE
    elif leased:
        assert status is ProverStatus.BUSY
    else:
        assert status is (ProverStatus.OFFLINE if draining else ProverStatus.IDLE)
    assert reason


@given(st.integers(0, 10**7), st.one_of(st.none(), st.integers(0, 10**7)), st.integers(0, 10**7))
def test_a_renewal_never_goes_past_the_attempts_time_or_deadline(now: int, since: int | None, deadline: int) -> None:
    until = renewed_until(now, since, deadline, LIMITS)
    assert until <= deadline
    assert until <= now + LIMITS.lease_ms
    if since is not None:
        assert until <= since + LIMITS.attempt_ms
