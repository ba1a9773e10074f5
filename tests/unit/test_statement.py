"""The Statement's digest is EIP-712's, and no two different statements share one."""

from __future__ import annotations

import dataclasses

import pytest
from eth_abi.abi import encode as abi_encode
from eth_account.messages import encode_typed_data
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st

from verifier.completeness import Completeness
from verifier.statement import OPENING_TYPES, Domain, Opening, Statement, program_id, task_id

DOMAIN = Domain(chain_id=4690, router=bytes.fromhex("11" * 20))
STATEMENT = Statement(7, 3, b"\x01" * 32, b"\x02" * 32, b"\x03" * 32, b"\x04" * 32, b"\x05" * 20)
FIELDS = ("projectId", "projectVersion", "taskId", "inputs", "output", "programId", "prover")
TYPES = ("uint256", "uint32", "bytes32", "bytes32", "bytes32", "bytes32", "address")


def typed_data(statement: Statement, domain: Domain) -> dict[str, object]:
    """The same statement as an EIP-712 document for eth_account, an independent implementation."""
    return {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            "Statement": [{"name": n, "type": t} for n, t in zip(FIELDS, TYPES, strict=True)],
        },
        "primaryType": "Statement",
        "domain": {
            "name": "W3bstream",
            "version": "1",
            "chainId": domain.chain_id,
            "verifyingContract": "0x" + domain.router.hex(),
        },
        "message": dict(zip(FIELDS, statement.words(), strict=True)) | {"prover": "0x" + statement.prover.hex()},
    }


words = st.binary(min_size=32, max_size=32)


@given(
    st.integers(0, 2**256 - 1),
    st.integers(0, 2**32 - 1),
    words,
    words,
    words,
    words,
    st.binary(min_size=20, max_size=20),
    st.integers(1, 2**63),
)
def test_digest_is_eip712(
    project: int, version: int, task: bytes, inputs: bytes, output: bytes, program: bytes, prover: bytes, chain: int
) -> None:
    statement = Statement(project, version, task, inputs, output, program, prover)
    domain = Domain(chain, b"\x22" * 20)
    signable = encode_typed_data(full_message=typed_data(statement, domain))
    assert statement.digest(domain) == keccak(b"\x19" + signable.version + signable.header + signable.body)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("project_id", 8),
        ("project_version", 4),
        ("task_id", b"\x09" * 32),
        ("inputs", b"\x09" * 32),
        ("output", b"\x09" * 32),
        ("program_id", b"\x09" * 32),
        ("prover", b"\x09" * 20),
    ],
)
def test_every_field_counts(field: str, value: object) -> None:
    assert dataclasses.replace(STATEMENT, **{field: value}).digest(DOMAIN) != STATEMENT.digest(DOMAIN)


def test_chain_and_router_count() -> None:
    digest = STATEMENT.digest(DOMAIN)
    assert STATEMENT.digest(Domain(4691, DOMAIN.router)) != digest
    assert STATEMENT.digest(Domain(4690, b"\x12" * 20)) != digest


@pytest.mark.parametrize(
    "field", ["readings_root", "device_set_root", "window_start", "window_end", "count", "completeness"]
)
def test_inputs_bind_the_whole_opening(field: str) -> None:
    opening = Opening(b"\x01" * 32, b"\x02" * 32, 5, 21, 16, Completeness(1, 2, 3, 4))
    others: dict[str, object] = {"completeness": Completeness(1, 2, 4, 3)}
    other = b"\x07" * 32 if field.endswith("root") else others.get(field, 9)
    assert dataclasses.replace(opening, **{field: other}).commitment() != opening.commitment()


uint64s, uint32s = st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1)


@given(words, words, uint64s, uint64s, uint32s, uint64s, uint32s, uint32s, uint32s, st.integers(0, 2**256 - 1))
def test_ids_and_inputs_are_the_abis(
    readings: bytes,
    devices: bytes,
    start: int,
    end: int,
    count: int,
    missing: int,
    duplicates: int,
    late: int,
    reordered: int,
    project: int,
) -> None:
    opening = Opening(readings, devices, start, end, count, Completeness(missing, duplicates, late, reordered))
    assert opening.commitment() == keccak(abi_encode(OPENING_TYPES, opening.words()))
    types = ["uint256", "uint32", "uint64", "uint64"]
    assert task_id(project, count, start, end) == keccak(abi_encode(types, [project, count, start, end]))


@pytest.mark.parametrize("too_large", [(2**256, 1, 1, 1), (1, 2**32, 1, 1), (1, 1, 2**64, 1), (1, 1, 1, 2**64)])
def test_what_no_type_holds_has_no_id(too_large: tuple[int, int, int, int]) -> None:
    with pytest.raises(OverflowError):
        task_id(*too_large)
    with pytest.raises(OverflowError):
        task_id(1, 1, 1, -1)


def test_ids_bind_their_parts() -> None:
    assert (
        len(
            {
                task_id(1, 1, 1, 17),
                task_id(2, 1, 1, 17),
                task_id(1, 2, 1, 17),
                task_id(1, 1, 2, 17),
                task_id(1, 1, 1, 18),
            }
        )
        == 5
    )
    assert program_id("zkp.groth16", b"\x01" * 32) != program_id("zkp.halo2", b"\x01" * 32)
