"""The judge against the vectors that the Router is held to as well (tests/contracts/test_contracts_assurance.py)."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifier.assurance import Judgement, Proven, Refusal, Verdict, accept, judge, parse_assurance, resolve_assurance

VECTORS = Path(__file__).parents[1] / "vectors" / "assurance"
CASES: list[dict[str, Any]] = [case for path in sorted(VECTORS.glob("*.json")) for case in json.loads(path.read_text())]
KINDS = ("zkp.groth16", "tee.sgx", "tee.nitro")


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["name"]))
def test_the_judge_says_what_the_vectors_say(case: dict[str, Any]) -> None:
    policy = resolve_assurance(parse_assurance(case["policy"]), case["programs"])
    state, proofs, frozen_kind = Judgement(), [], ""
    for step in case["steps"]:
        proof = Proven(**{name: step["proof"][name] for name in ("kind", "output", "prover", "owner", "operator")})
        before = state
        state, refusal = accept(policy, before, proof)
        proofs.append(proof)
        assert (refusal.value if refusal else None, state.verdict.value) == (step["refused"], step["verdict"]), step
        frozen_kind = proof.kind if state.verdict is Verdict.CONFLICT is not before.verdict else frozen_kind
        assert state.confirmed is step.get("confirmed", False), step
        if state.verdict is not Verdict.CONFLICT:
            assert len(state.kinds) == step["verified"]
            assert policy.confirm not in state.kinds
            assert state.output == ("A" if step["verified"] or state.confirmed else "")
        assert judge(policy, proofs) == state, "what is judged at once is what is judged one by one"
    if frozen_kind:
        assert (state.outputs, state.output) == (("A", "B"), "")
        assert frozen_kind in state.kinds


def test_the_vectors_meet_every_verdict_and_refusal() -> None:
    steps = [step for case in CASES for step in case["steps"]]
    assert {step["verdict"] for step in steps} == {each.value for each in Verdict}
    assert {step["refused"] for step in steps} == {None, *(each.value for each in Refusal)}
    assert len({case["name"] for case in CASES}) == len(CASES)
    staged = {(step["refused"], step["verdict"], step["confirmed"]) for step in steps if "confirmed" in step}
    assert {verdict for _, verdict, confirmed in staged if confirmed} == {"MISSING", "SATISFIED"}


PROOFS = st.lists(
    st.builds(
        Proven,
        st.sampled_from((*KINDS, "other")),
        st.sampled_from(("A", "A", "A", "B")),
        st.sampled_from(("p1", "p2", "p3")),
        st.sampled_from(("", "o", "x")),
        st.sampled_from(("", "x", "y", "Z")),
    ),
    max_size=6,
)


@given(PROOFS, st.integers(1, 3), st.booleans())
def test_what_the_judge_counts_is_what_the_rules_say(proofs: list[Proven], threshold: int, independent: bool) -> None:
    words = f"{threshold} of [{', '.join(KINDS)}]" + (" by independent operators" if independent else "")
    if independent and threshold == 1:
        with pytest.raises(ValueError, match="one proof"):
            parse_assurance(words)
        return
    policy, state = parse_assurance(words), Judgement()
    counted: list[Proven] = []
    for proof in proofs:
        state, refusal = accept(policy, state, proof)
        if refusal is None:
            counted.append(proof)
    assert state.kinds == {each.kind for each in counted} <= set(KINDS)
    if state.verdict is Verdict.CONFLICT:
        assert {each.output for each in counted} == {"A", "B"} == set(state.outputs)
        counted.pop()
    else:
        assert (state.verdict is Verdict.SATISFIED) is (len(counted) >= threshold)
    assert len({each.kind for each in counted}) == len(counted), "a kind counts once"
    if independent:
        parties = [each.parties() for each in counted]
        assert all(parties)
        assert sum(len(each) for each in parties) == len(frozenset().union(*parties)), "no party is behind two proofs"


@given(PROOFS)
def test_a_second_stage_changes_nothing_about_the_first(proofs: list[Proven]) -> None:
    staged, alone = (
        parse_assurance(f"1 of [tee.sgx, tee.nitro]{words}") for words in (" now, zkp.groth16 within 1h", "")
    )
    found = judge(staged, proofs)
    if found.verdict is Verdict.CONFLICT:
        assert not found.confirmed
        assert set(found.outputs) == {"A", "B"}
        return
    first = judge(alone, proofs)
    assert (found.verdict, found.kinds) == (first.verdict, first.kinds)
    assert found.confirmed is any(proof.kind == "zkp.groth16" for proof in proofs)


@given(PROOFS)
def test_without_operators_no_order_of_honest_proofs_matters(proofs: list[Proven]) -> None:
    policy = parse_assurance("2 of [zkp.groth16, tee.sgx, tee.nitro]")
    verdicts = {judge(policy, order).verdict for order in permutations(proofs[:4])}
    assert len(verdicts) == 1
