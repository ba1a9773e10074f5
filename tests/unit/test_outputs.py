"""A public output decodes only when it is the one canonical encoding of the manifest's types."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from verifier.errors import InvalidInput, Refused
from verifier.outputs import decode_outputs, parse_outputs

SAMPLE = ["uint32 count", "int64 sum", "int32 minimum", "int32 maximum"]


@given(st.integers(0, 2**32 - 1), st.integers(-(2**63), 2**63 - 1), st.integers(-(2**31), 2**31 - 1))
def test_the_sample_programs_output(count: int, total: int, low: int) -> None:
    data = encode(["uint32", "int64", "int32", "int32"], [count, total, low, low])
    decoded = decode_outputs(SAMPLE, data)
    assert [(each.name, each.type, int(each.value)) for each in decoded] == [
        ("count", "uint32", count),
        ("sum", "int64", total),
        ("minimum", "int32", low),
        ("maximum", "int32", low),
    ]


@pytest.mark.parametrize("bits", [8, 16, 64, 128, 248, 256])
@pytest.mark.parametrize("kind", ["int", "uint"])
def test_integer_ranges(kind: str, bits: int) -> None:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if kind == "int" else (0, 2**bits - 1)
    for value in (low, high):
        data = encode([f"{kind}{bits}"], [value])
        assert decode_outputs([f"{kind}{bits} x"], data)[0].value == str(value)
        if bits < 256:
            beyond = (value - 1 if value == low else value + 1) % 2**256
            with pytest.raises(Refused) as caught:
                decode_outputs([f"{kind}{bits} x"], beyond.to_bytes(32, "big"))
            assert (caught.value.code, caught.value.field) == ("W3B-4013", "x")


def test_other_types() -> None:
    data = encode(["bool", "address", "bytes4", "bytes32"], [True, "0x" + "ab" * 20, b"\x01\x02\x03\x04", b"\x05" * 32])
    values = [each.value for each in decode_outputs(["bool a", "address b", "bytes4 c", "bytes32 d"], data)]
    assert values == ["true", "0x" + "ab" * 20, "0x01020304", "0x" + "05" * 32]
    for at, name in ((0, "a"), (32, "b"), (64 + 31, "c")):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises(Refused) as caught:
            decode_outputs(["bool a", "address b", "bytes4 c", "bytes32 d"], changed)
        assert caught.value.field == name


@given(st.binary(max_size=160))
def test_another_length_is_refused(data: bytes) -> None:
    if len(data) != 128:
        with pytest.raises(Refused) as caught:
            decode_outputs(SAMPLE, data)
        assert caught.value.code == "W3B-4013"


@given(st.binary(min_size=128, max_size=128))
def test_what_decodes_encodes_back_to_the_same_bytes(data: bytes) -> None:
    try:
        values = [int(each.value) for each in decode_outputs(SAMPLE, data)]
    except Refused:
        return
    assert encode(["uint32", "int64", "int32", "int32"], values) == data


@pytest.mark.parametrize(
    "outputs",
    [
        [],
        ["uint32"], ["uint33 x"], ["uint264 x"], ["uint0 x"], ["bytes33 x"], ["bytes x"], ["string x"], ["uint8[] x"],
        ["uint32 count", "int8 count"], ["int8 a b"], ["int8 1a"], [f"int8 x{n}" for n in range(17)],
    ],
)  # fmt: skip
def test_lists_that_no_manifest_may_have(outputs: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_outputs(outputs)
    assert caught.value.code == "W3B-4002"
