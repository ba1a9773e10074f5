"""What a constructor leaves behind, for an account of a genesis, which runs none."""

from __future__ import annotations

from collections.abc import Mapping

from native import _native

MAX_CODE_BYTES = 24_576
"""Most bytes of an account's code (EIP-170)."""

_GAS = 16_000_000


def runtime_code(creation_code: bytes, alloc: Mapping[bytes, bytes] | None = None) -> bytes:
    """The code that `creation_code` returns on a chain of its own. What it writes to storage is lost.

    Parameters
    ----------
    creation_code
        Init code with its arguments, as `abi.Artifact.creation_code` makes it.
    alloc
        Accounts that the constructor wants to find: address (20 bytes) to code.

    Raises
    ------
    ValueError
        When the constructor reverts or halts; the message ends with what it returned, as hex.
    """
    placed: dict[bytes, tuple[int, int, bytes, list[tuple[int, int]]]]
    placed = {address: (0, 1, code, []) for address, code in (alloc or {}).items()}
    chain, _ = _native.Chain.genesis(
        chain_id=1, gas_limit=60_000_000, base_fee_per_gas=0, timestamp=0, extra_data=b"", alloc=placed
    )
    result = chain.view(0).call(
        sender=bytes(20),
        to=None,
        data=creation_code,
        value=0,
        gas=None,
        gas_price=0,
        tip=None,
        access_list=[],
        gas_cap=_GAS,
    )
    if result.status != "success":
        raise ValueError(f"the constructor failed ({result.halt_reason or result.status}): 0x{result.output.hex()}")
    return result.output
