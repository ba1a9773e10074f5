"""What crosses the enclave's border: one spelling, and a coded error for everything else."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provers.protocol import ProvingTask
from provers.tee.messages import EnclaveResult, decode_task, encode_task
from verifier.completeness import Completeness
from verifier.errors import InvalidInput
from verifier.reading import Device, KeyType, Reading
from verifier.statement import Domain, Opening, Statement

WORD = st.binary(min_size=32, max_size=32)
ADDRESS = st.binary(min_size=20, max_size=20)
KEY = st.binary(min_size=64, max_size=64)
U32, U64 = st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 64) - 1)
U256 = st.integers(0, (1 << 256) - 1)
TYPES = st.sampled_from(KeyType)
READINGS = st.builds(Reading, U64, ADDRESS, U64, U64, st.binary(max_size=40), TYPES, KEY)
OPENINGS = st.builds(Opening, WORD, WORD, U64, U64, U32, st.builds(Completeness, U64, U32, U32, U32))
TASKS = st.builds(
    ProvingTask,
    st.builds(Domain, U256, ADDRESS),
    U256,
    U32,
    WORD,
    OPENINGS,
    WORD,
    ADDRESS,
    st.lists(READINGS, max_size=4).map(tuple),
    st.lists(st.builds(Device, ADDRESS, TYPES, KEY), max_size=4).map(tuple),
)
STATEMENTS = st.builds(Statement, U256, U32, WORD, WORD, WORD, WORD, ADDRESS)
RESULTS = st.builds(EnclaveResult, STATEMENTS, st.binary(max_size=64), KEY, st.binary(max_size=80))


@given(TASKS, st.integers(0, 10_000), st.binary(min_size=1, max_size=9))
@settings(max_examples=100, deadline=None)
def test_a_task_has_one_spelling(task: ProvingTask, at: int, junk: bytes) -> None:
    data = encode_task(task)
    assert decode_task(data) == task
    for damaged in (data + junk, data[: at % len(data)], bytes([9]) + data[1:], junk):
        with pytest.raises(InvalidInput, match=r"W3B-4021|W3B-100"):
            decode_task(damaged)


@given(TASKS, st.integers(0, 10_000), st.integers(1, 255))
@settings(max_examples=100, deadline=None)
def test_a_changed_byte_is_another_task_or_a_coded_error(task: ProvingTask, at: int, change: int) -> None:
    data = bytearray(encode_task(task))
    data[at % len(data)] ^= change
    try:
        found = decode_task(bytes(data))
    except InvalidInput:
        return
    assert found != task
    assert encode_task(found) == data


@given(RESULTS, st.integers(0, 10_000), st.binary(min_size=1, max_size=9))
@settings(max_examples=60, deadline=None)
def test_a_result_has_one_spelling(result: EnclaveResult, at: int, junk: bytes) -> None:
    data = result.encode()
    assert EnclaveResult.decode(data) == result
    for damaged in (data + junk, data[: at % len(data)], bytes([9]) + data[1:]):
        with pytest.raises(InvalidInput, match="W3B-4021"):
            EnclaveResult.decode(damaged)


@given(TASKS)
@settings(max_examples=5, deadline=None)
def test_a_number_that_does_not_fit_is_refused(task: ProvingTask) -> None:
    opening = dataclasses.replace(task.opening, count=1 << 32)
    for bad in (
        dataclasses.replace(task, project_id=1 << 256),
        dataclasses.replace(task, project_version=-1),
        dataclasses.replace(task, opening=opening),
    ):
        with pytest.raises(InvalidInput, match="W3B-4021"):
            encode_task(bad)
