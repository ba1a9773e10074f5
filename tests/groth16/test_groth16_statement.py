"""The verifier off chain refuses every malformed Statement and degenerate key by code, never by a codec's own error."""

from __future__ import annotations

import dataclasses

import pytest
from eth_abi.abi import encode
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st

from native._native import Groth16Error, groth16_verify
from tests.contracts.groth16_simulator import TrapdoorKey, signals_of
from verifier.completeness import Completeness
from verifier.errors import Refused
from verifier.groth16 import groth16_program_id, verify_groth16
from verifier.statement import Domain, Opening, Statement, task_id

DOMAIN = Domain(4690, bytes.fromhex("11" * 20))
OPENING = Opening(bytes(31) + b"\1", bytes(31) + b"\2", 1, 21, 3, Completeness(9, 2, 0, 1))
WORDS = [3, -250, -2000, 2150, *OPENING.completeness.words()]
OUTPUT = encode(["int256"] * 8, WORDS)
KEY = TrapdoorKey.generate(seed=1)


def statement_of(key: TrapdoorKey) -> Statement:
    """A Statement that `key` can prove."""
    task = task_id(7, 1, OPENING.window_start, OPENING.window_end)
    program = groth16_program_id(key.encoded())
    return Statement(7, 1, task, OPENING.commitment(), keccak(OUTPUT), program, bytes.fromhex("22" * 20))


GOOD = statement_of(KEY)
PROOF = KEY.simulate(signals_of(GOOD, DOMAIN, OPENING, WORDS), OPENING)
SIZES = {"task_id": 32, "inputs": 32, "output": 32, "program_id": 32, "prover": 20}


def refusal(statement: Statement) -> Refused:
    with pytest.raises(Refused) as caught:
        verify_groth16(KEY.encoded(), DOMAIN, statement, OUTPUT, PROOF)
    return caught.value


def test_the_good_statement_holds() -> None:
    assert verify_groth16(KEY.encoded(), DOMAIN, GOOD, OUTPUT, PROOF) == OPENING


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("project_version", value) for value in (1 << 32, 1 << 256, -1)),
        *(("project_id", value) for value in (1 << 64, (1 << 256) - 1, 1 << 256, -1)),
    ],
)
def test_a_number_out_of_range_is_refused(field: str, value: int) -> None:
    found = refusal(dataclasses.replace(GOOD, **{field: value}))  # type: ignore[arg-type]
    assert (found.code, found.field) == ("W3B-4020", field)
    assert str(value) in found.message


@pytest.mark.parametrize("field", SIZES)
@pytest.mark.parametrize("length", [0, 19, 21, 31, 33, 64])
def test_bytes_of_another_length_are_refused(field: str, length: int) -> None:
    value = (getattr(GOOD, field) * 3)[:length]
    found = refusal(dataclasses.replace(GOOD, **{field: value}))
    assert (found.code, found.field) == ("W3B-4020", field)


def test_a_longer_field_with_the_right_beginning_is_refused() -> None:
    for field in SIZES:
        found = refusal(dataclasses.replace(GOOD, **{field: getattr(GOOD, field) + b"\0"}))
        assert (found.code, found.field) == ("W3B-4020", field)


@given(
    st.builds(
        Statement,
        st.integers(),
        st.integers(),
        *[st.binary(max_size=40)] * 5,
    )
)
def test_any_other_statement_is_refused_by_code(statement: Statement) -> None:
    refusal(statement)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_key_with_delta_plus_or_minus_gamma_is_refused(sign: int) -> None:
    """Even for an honest simulation: with such a key anyone can move any signal into C."""
    key = dataclasses.replace(KEY, delta=sign * KEY.gamma)
    statement = statement_of(key)
    signals = signals_of(statement, DOMAIN, OPENING, WORDS)
    proof = key.simulate(signals, OPENING)
    with pytest.raises(Refused, match=r"W3B-4010.*forge"):
        verify_groth16(key.encoded(), DOMAIN, statement, OUTPUT, proof)
    with pytest.raises(Groth16Error, match="delta equals gamma up to sign"):
        groth16_verify(key.encoded(), b"".join(signal.to_bytes(32, "big") for signal in signals), proof[:256])
