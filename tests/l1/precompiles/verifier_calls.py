"""Inputs of `bls-fast-aggregate-verify`, made with py_ecc and nothing of ours, and calls of it."""

from __future__ import annotations

from functools import cache

from py_ecc.bls import G2ProofOfPossession as Pop

from native import _native

ADDRESS = bytes(17) + bytes.fromhex("573301")
"""0x…573301."""
MESSAGE = bytes(range(32))
INFINITY_KEY = b"\xc0" + bytes(47)
INFINITY_SIGNATURE = b"\xc0" + bytes(95)


def gas(count: int) -> int:
    """The page's formula for so many keys."""
    return 150_000 + 8_000 * count


def secret(index: int) -> int:
    return Pop.KeyGen(index.to_bytes(32, "big"))


@cache
def public(index: int) -> bytes:
    return bytes(Pop.SkToPk(secret(index)))


@cache
def vote(index: int, message: bytes = MESSAGE) -> bytes:
    return bytes(Pop.Sign(secret(index), message))


def signed_by(count: int) -> bytes:
    """What keys 1 to `count` signed together."""
    signers = range(1, count + 1)
    signature = bytes(Pop.Aggregate([vote(index) for index in signers]))
    return MESSAGE + signature + b"".join(public(index) for index in signers)


def ask(view: _native.StateView, data: bytes, gas_limit: int = 10_000_000) -> _native.CallResult:
    """Call the verifier on a state."""
    return view.call(
        sender=bytes(20),
        to=ADDRESS,
        data=data,
        value=0,
        gas=gas_limit,
        gas_price=0,
        tip=None,
        access_list=[],
        gas_cap=gas_limit,
    )
