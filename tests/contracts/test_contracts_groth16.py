"""Groth16Verifier: it accepts exactly the proofs of exactly the Statement, and only sound, canonical keys.

Every proof and every key here is judged by the verifier off chain too, and the two must agree.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
from eth_abi.abi import decode, encode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from py_ecc.optimized_bn128 import curve_order

from native._native import Groth16Error, groth16_verify
from tests.contracts.chain_client import event, events
from tests.contracts.groth16_simulator import FIELD_MODULUS, TrapdoorKey, encode_key, encode_proof, g1, g2, signals_of
from tests.contracts.world import WORDS, ZKP, Claim, Task, World
from verifier import bindings as b
from verifier.completeness import MOST_MISSING, Completeness
from verifier.errors import Refused
from verifier.groth16 import verify_groth16
from verifier.statement import Opening

SOME = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
LIMIT = 2**252
PROOF_WORDS = ["uint256"] * 17
EIGHT = ["int256"] * 8


@pytest.fixture(scope="module")
def task(world: World) -> Task:
    return Task(world, 7, world.opening())


def ask(world: World, claim: Claim, gas: int = 2_000_000) -> bool | b.Revert:
    """What verify answers its Router: a bool, or why it reverts."""
    data = b.verify(claim.statement, claim.public_output, claim.proof)
    result = world.chain.call(world.deployment.groth16, data, world.deployment.router, gas)
    return result if isinstance(result, b.Revert) else bool(decode(["bool"], result)[0])


def holds_off_chain(world: World, claim: Claim) -> bool:
    try:
        verify_groth16(world.key.encoded(), world.domain, claim.statement, claim.public_output, claim.proof)
    except Refused:
        return False
    return True


def judge(task: Task, claim: Claim) -> bool | b.Revert:
    """What verify answers; fails when the verifier off chain does not agree."""
    verdict = ask(task.world, claim)
    assert (verdict is True) == holds_off_chain(task.world, claim)
    return verdict


def refused(task: Task, claim: Claim) -> str:
    """The name of the revert, or `False`; fails when the proof is accepted."""
    verdict = judge(task, claim)
    assert verdict is not True
    return verdict.name if isinstance(verdict, b.Revert) else "False"


def wide(task: Task, words: Sequence[int]) -> bytes:
    """A public output whose own words are of the widest type."""
    return encode(["int256"] * (len(words) + 4), [*words, *task.opening.completeness.words()])


def with_word(proof: bytes, index: int, value: int) -> bytes:
    return proof[: 32 * index] + value.to_bytes(32, "big") + proof[32 * index + 32 :]


def test_a_good_proof_is_accepted(task: Task) -> None:
    assert judge(task, task.claim()) is True


@SOME
@given(st.lists(st.integers(-LIMIT + 1, LIMIT - 1), min_size=4, max_size=4))
def test_every_output_in_range_has_its_own_signals(task: Task, words: list[int]) -> None:
    output = wide(task, words)
    claim = task.prove(task.statement(ZKP, output), ZKP, output)
    assert judge(task, claim) is True
    changed = wide(task, [*words[:3], words[3] - 1 if words[3] > 0 else words[3] + 1])
    assert refused(task, dataclasses.replace(claim, public_output=changed)) == "False"


@pytest.mark.parametrize("word", [LIMIT, -LIMIT, 2**255 - 1, -(2**255), curve_order - 5])
@pytest.mark.parametrize("index", [0, 3])
def test_an_output_word_out_of_range_is_refused(task: Task, word: int, index: int) -> None:
    words = [1, 1, 1, 1]
    words[index] = word
    output = wide(task, words)
    verdict = judge(task, task.prove(task.statement(ZKP, output), ZKP, output))
    assert isinstance(verdict, b.Revert)
    assert (verdict.name, verdict.args["signal"]) == ("SignalOutOfRange", index + 1)


@pytest.mark.parametrize("word", [LIMIT - 1, -LIMIT + 1, 0])
def test_an_output_word_at_the_edge_is_accepted(task: Task, word: int) -> None:
    output = wide(task, [word] * 4)
    assert judge(task, task.prove(task.statement(ZKP, output), ZKP, output)) is True


def test_a_negative_word_and_its_field_alias_do_not_share_a_proof(task: Task) -> None:
    output = wide(task, [-1, 0, 0, 0])
    claim = task.prove(task.statement(ZKP, output), ZKP, output)
    alias = (curve_order - 1).to_bytes(32, "big") + output[32:]
    assert refused(task, dataclasses.replace(claim, public_output=alias)) == "SignalOutOfRange"


@SOME
@given(st.integers(0, 544 * 8 - 1))
def test_every_flipped_bit_of_the_proof_is_refused(task: Task, bit: int) -> None:
    claim = task.claim()
    flipped = bytearray(claim.proof)
    flipped[bit // 8] ^= 1 << (bit % 8)
    refused(task, dataclasses.replace(claim, proof=bytes(flipped)))


@pytest.mark.parametrize("proof", [lambda p: p[:-1], lambda p: p + b"\0", lambda p: b"", lambda p: p[:256]])
def test_a_proof_of_another_length_is_refused(task: Task, proof) -> None:  # type: ignore[no-untyped-def]
    claim = task.claim()
    assert refused(task, dataclasses.replace(claim, proof=proof(claim.proof))) == "ProofLength"


@pytest.mark.parametrize("index", range(8))
def test_a_coordinate_not_below_the_modulus_is_refused(task: Task, index: int) -> None:
    claim = task.claim()
    value = int.from_bytes(claim.proof[32 * index : 32 * index + 32], "big")
    for raised in (value + FIELD_MODULUS, FIELD_MODULUS):
        proof = with_word(claim.proof, index, raised)
        assert refused(task, dataclasses.replace(claim, proof=proof)) == "InvalidProofPoint"


@pytest.mark.parametrize("index", range(8))
def test_a_point_off_its_curve_is_refused(task: Task, index: int) -> None:
    claim = task.claim()
    proof = with_word(claim.proof, index, 5)
    assert refused(task, dataclasses.replace(claim, proof=proof)) == "InvalidProofPoint"


def test_points_at_infinity_are_refused(task: Task) -> None:
    claim = task.claim()
    for start, end in [(0, 64), (64, 192), (192, 256), (0, 256)]:
        proof = claim.proof[:start] + bytes(end - start) + claim.proof[end:]
        assert refused(task, dataclasses.replace(claim, proof=proof)) == "InvalidProofPoint"


def test_a_point_c_at_infinity_is_refused_though_the_equation_holds(task: Task) -> None:
    """a = alpha·beta + ic·gamma, b = 1 and c = 0 solve the equation; only the trapdoor's owner can find them."""
    key, claim = task.world.key, task.claim()
    words = [*WORDS, *task.opening.completeness.words()]
    signals = signals_of(claim.statement, task.world.domain, task.opening, words)
    combined = key.ic[0] + sum(s * k for s, k in zip(signals, key.ic[1:], strict=True))
    a = g1(key.alpha * key.beta + combined * key.gamma)
    assert refused(task, dataclasses.replace(claim, proof=encode_proof(a, g2(1), (0, 0), task.opening))) == (
        "InvalidProofPoint"
    )


def test_nobody_but_its_router_gets_an_answer(world: World, task: Task) -> None:
    claim = task.claim()
    data = b.verify(claim.statement, claim.public_output, claim.proof)
    for sender in (world.stranger, world.coordinator):
        result = world.chain.call(world.deployment.groth16, data, sender)
        assert isinstance(result, b.Revert)
        assert (result.name, result.args) == ("NotRouter", {"caller": sender.address.lower()})
    assert ask(world, claim) is True


@pytest.mark.parametrize(
    ("index", "value"),
    [
        *((8, curve_order), (8, 2**256 - 1), (9, curve_order), (10, 2**64), (11, 2**64), (12, 2**32)),
        *((13, 2**64), (13, 2**255), (14, 2**32), (15, 2**32), (16, 2**32)),
    ],
)
def test_an_opening_out_of_range_is_refused(task: Task, index: int, value: int) -> None:
    claim = task.claim()
    proof = with_word(claim.proof, index, value)
    assert refused(task, dataclasses.replace(claim, proof=proof)) == "SignalOutOfRange"


@pytest.mark.parametrize(
    "changes", [{"window_start": 0}, {"window_end": 1}, {"count": 0}, {"count": 21}, {"window_start": 10**9}]
)
def test_an_impossible_opening_is_refused_even_if_committed(task: Task, changes: dict[str, int]) -> None:
    opening = dataclasses.replace(task.opening, **changes)
    other = Task(task.world, task.project, opening)
    assert refused(other, other.claim()) == "ImpossibleOpening"


@pytest.mark.parametrize("field", ["readings_root", "device_set_root", "window_start", "window_end", "count"])
def test_an_opening_of_other_inputs_is_refused_even_if_proven(task: Task, field: str) -> None:
    value = getattr(task.opening, field)
    changed = value - 1 if field == "count" else value + 1 if isinstance(value, int) else bytes(31) + b"\1"
    other = Task(task.world, task.project, dataclasses.replace(task.opening, **{field: changed}))
    claim = task.claim()
    proven = other.prove(claim.statement, ZKP, claim.public_output)
    assert refused(task, proven) == "False"


@pytest.mark.parametrize("word", range(4))
def test_other_completeness_than_the_records_is_refused_even_if_proven(task: Task, word: int) -> None:
    """A circuit that lets the prover choose would not do: the adapter compares the output with the opening."""
    words = list(task.opening.completeness.words())
    words[word] += 1
    output = encode(EIGHT, [*WORDS, *words])
    assert refused(task, task.prove(task.statement(ZKP, output), ZKP, output)) == "CompletenessMismatch"


def test_completeness_of_another_window_is_refused_even_if_proven(task: Task) -> None:
    theirs = Task(task.world, task.project, task.world.opening(completeness=Completeness(6, 1, 0, 1)))
    claim, other = task.claim(), theirs.claim()
    swapped = task.prove(task.statement(ZKP, other.public_output), ZKP, other.public_output)
    assert refused(task, swapped) == "CompletenessMismatch"
    # The proof's own copy moved as well: now it opens other inputs.
    moved = claim.proof[:416] + other.proof[416:]
    assert refused(task, dataclasses.replace(swapped, proof=moved)) == "False"
    reopened = dataclasses.replace(task.opening, completeness=theirs.opening.completeness)
    again = Task(task.world, task.project, reopened).prove(swapped.statement, ZKP, other.public_output)
    assert refused(task, again) == "False"


@pytest.mark.parametrize(
    "completeness",
    [
        Completeness(missing=MOST_MISSING + 1),
        Completeness(missing=2**64 - 1),
        Completeness(duplicates=18),
        Completeness(late=1),
        Completeness(reordered=4),
        Completeness(late=3, reordered=2),
    ],
    ids=str,
)
def test_completeness_that_no_window_has_is_refused_even_if_committed(task: Task, completeness: Completeness) -> None:
    other = Task(task.world, task.project, dataclasses.replace(task.opening, completeness=completeness))
    assert refused(other, other.claim()) == "ImpossibleOpening"


@pytest.mark.parametrize(
    "completeness",
    [Completeness(), Completeness(MOST_MISSING, 17, 3, 3), Completeness(duplicates=17, reordered=3)],
    ids=str,
)
def test_completeness_at_its_edges_is_accepted(task: Task, completeness: Completeness) -> None:
    other = Task(task.world, task.project, dataclasses.replace(task.opening, completeness=completeness))
    assert judge(other, other.claim()) is True


def test_a_project_id_beyond_64_bits_is_refused(task: Task) -> None:
    claim = task.claim()
    statement = dataclasses.replace(claim.statement, project_id=2**64)
    assert refused(task, dataclasses.replace(claim, statement=statement)) == "SignalOutOfRange"


@pytest.mark.parametrize("field", ["project_id", "project_version", "task_id", "output", "prover"])
def test_a_proof_serves_no_other_statement(task: Task, field: str) -> None:
    claim = task.claim()
    value = getattr(claim.statement, field)
    changed = value + 1 if isinstance(value, int) else bytes(len(value) - 1) + b"\7"
    statement = dataclasses.replace(claim.statement, **{field: changed})
    assert refused(task, dataclasses.replace(claim, statement=statement)) == "False"


def test_an_output_of_another_length_is_refused(task: Task) -> None:
    claim = task.claim()
    for output in (b"", claim.public_output[:-1], claim.public_output[:-32], claim.public_output + bytes(32)):
        assert refused(task, dataclasses.replace(claim, public_output=output)) == "OutputLength"


def test_an_unknown_program_is_refused(task: Task) -> None:
    claim = task.claim()
    statement = dataclasses.replace(claim.statement, program_id=bytes(32))
    assert refused(task, dataclasses.replace(claim, statement=statement)) == "UnknownProgram"


def test_a_proof_under_another_registered_key_is_refused(world: World, task: Task) -> None:
    other = TrapdoorKey.generate(seed=2)
    world.chain.send(world.stranger, world.deployment.groth16, b.register_verifying_key(other.encoded()))
    claim = task.claim()
    statement = dataclasses.replace(claim.statement, program_id=other.program_id())
    assert refused(task, task.prove(statement, ZKP, claim.public_output)) == "False"


@pytest.mark.parametrize("words", [4, 16])
def test_the_shortest_and_longest_outputs_work(world: World, task: Task, words: int) -> None:
    key = TrapdoorKey.generate(seed=words, output_words=words)
    receipt = world.chain.send(world.stranger, world.deployment.groth16, b.register_verifying_key(key.encoded()))
    registered = event(receipt, "KeyRegistered").args
    assert (registered["programId"], registered["outputWords"]) == (key.program_id(), words)
    output = wide(task, range(-3, words - 7))
    other = Task(dataclasses.replace(world, key=key), task.project, task.opening)
    assert judge(other, other.prove(other.statement(ZKP, output), ZKP, output)) is True


def test_registration_is_open_and_a_repeat_changes_nothing(world: World) -> None:
    key = world.key.encoded()
    again = world.chain.send(world.stranger, world.deployment.groth16, b.register_verifying_key(key))
    assert events(again) == []
    stored = world.chain.read(world.deployment.groth16, b.call_verifying_key(world.key.program_id()))
    assert b.decode_verifying_key(stored) == key
    absent = world.chain.read(world.deployment.groth16, b.call_verifying_key(bytes(32)))
    assert b.decode_verifying_key(absent) == b""


def key_refusal(world: World, key: bytes) -> b.Revert:
    """Why the key is refused on chain; fails when the verifier off chain takes it."""
    with pytest.raises(Groth16Error):
        groth16_verify(key, bytes(16 * 32), encode_proof(g1(1), g2(1), g1(1), NO_OPENING)[:256])
    return world.chain.refusal(world.stranger, world.deployment.groth16, b.register_verifying_key(key))


KEY = TrapdoorKey.generate(seed=3)
NO_OPENING = Opening(bytes(32), bytes(32), 1, 2, 1, Completeness())


def test_a_key_of_another_shape_is_refused(world: World) -> None:
    good = KEY.encoded()
    for key in (b"", good[:511], good[:-1], good + b"\0", good[:-64], good + bytes(64)):
        assert key_refusal(world, key).name == "MalformedKey"
    assert key_refusal(world, with_word(good, 14, 512)).name == "MalformedKey"
    for words in (3, 17):
        assert key_refusal(world, TrapdoorKey.generate(seed=4, output_words=words).encoded()).name == "MalformedKey"


@pytest.mark.parametrize("index", [*range(14), 16, 17, 48, 49])
def test_a_key_coordinate_out_of_range_or_off_the_curve_is_refused(world: World, index: int) -> None:
    good = KEY.encoded()
    value = int.from_bytes(good[32 * index : 32 * index + 32], "big")
    for bad in (value + FIELD_MODULUS, value ^ 1):
        assert key_refusal(world, with_word(good, index, bad)).name == "InvalidKeyPoint"


@pytest.mark.parametrize(("start", "size"), [(0, 2), (2, 4), (6, 4), (10, 4), (16, 2), (48, 2)])
def test_a_key_with_a_point_at_infinity_is_refused(world: World, start: int, size: int) -> None:
    """An ic point at infinity leaves its signal free: one proof would serve every digest."""
    good = KEY.encoded()
    key = good[: 32 * start] + bytes(32 * size) + good[32 * (start + size) :]
    assert key_refusal(world, key).name == "InvalidKeyPoint"


def test_a_g2_point_outside_the_subgroup_is_refused(world: World) -> None:
    # On the twist, of an order other than r: x = 1 + 0i has a y (found by square root), cofactor is not one.
    from py_ecc.optimized_bn128 import FQ2, b2, field_modulus

    x = FQ2([1, 0])
    while True:
        square = x * x * x + b2
        root = _sqrt_fq2(square, FQ2, field_modulus)
        if root is not None:
            break
        x = x + FQ2([1, 0])
    point = ((int(x.coeffs[1]), int(x.coeffs[0])), (int(root.coeffs[1]), int(root.coeffs[0])))
    key = encode_key(g1(2), point, g2(4), g2(5), [g1(k + 1) for k in range(17)])
    refusal = key_refusal(world, key)
    assert (refusal.name, refusal.args["index"]) == ("InvalidKeyPoint", 1001)


def _sqrt_fq2(value, field, modulus: int):  # type: ignore[no-untyped-def]
    """A square root in Fp2 for p = 3 mod 4 (Adj, Rodríguez-Henríquez, IEEE ToC 2014, algorithm 9), or None."""
    a1 = value ** ((modulus - 3) // 4)
    alpha, x0 = a1 * a1 * value, a1 * value
    if alpha == field([modulus - 1, 0]):
        root = field([0, 1]) * x0
    else:
        root = (alpha + field([1, 0])) ** ((modulus - 1) // 2) * x0
    return root if root * root == value else None


@pytest.mark.parametrize("delta", [lambda k: k.gamma, lambda k: -k.gamma])
def test_a_key_without_the_second_phase_is_refused(world: World, delta) -> None:  # type: ignore[no-untyped-def]
    """With gamma = ±delta anyone can move any signal into C and prove what they like."""
    key = dataclasses.replace(KEY, delta=delta(KEY))
    assert key_refusal(world, key.encoded()).name == "DegenerateKey"


def test_the_opening_words_are_the_last_of_the_proof(task: Task) -> None:
    words = decode(PROOF_WORDS, task.claim().proof)[8:]
    roots = (word.to_bytes(32, "big") for word in words[:2])
    opening = Opening(*roots, *words[2:5], Completeness(*words[5:]))
    assert opening == task.opening


def test_too_little_gas_never_makes_a_good_proof_false(task: Task) -> None:
    claim = task.claim()
    verdicts = [ask(task.world, claim, gas) for gas in range(60_000, 460_000, 8_000)]
    outcomes = {"refused" if isinstance(verdict, b.Revert) else verdict for verdict in verdicts}
    assert outcomes == {"refused", True}
