"""What an Intel quote's store of collateral lacks, asked of the chain before a session key is registered by that quote.

Revocation lists, TCB info and identities are brought about once in a month, a machine's PCK certificate once in its life
(docs/reference/dcap-on-chain.md): whatever the store has, and has for as long as the key may live, is not sent again.
"""

from __future__ import annotations

from collections.abc import Callable

from coordinator.settlement.chain import Chain, Reverted
from verifier.attestation.evidence import Endorsements
from verifier.attestation.intel_quote import parse
from verifier.bindings import Revert, decode_revert
from verifier.bindings.abi import decode_result, encode_call
from verifier.dcap_calldata import STORE, collateral_calls, evidence
from verifier.errors import Refused, Unavailable

_REVOKED, _OLDER, _TIME = b".revoked", b".older", b".time"
_CODES = {_TIME: "W3B-9105", b".signature": "W3B-9106"}
"""Of the ends of fields that the store names; any other speaks against whose collateral it is."""


class CollateralStore:
    """One DcapCollateral, asked on behalf of whoever sends to it.

    Parameters: `sender` and `address` are 0x hex; `clock` gives Unix seconds.
    """

    def __init__(self, chain: Chain, sender: str, address: str, clock: Callable[[], float]) -> None:
        self._chain = chain
        self._sender = sender
        self._address = address
        self._clock = clock

    async def missing(self, data: bytes, endorsements: Endorsements, until: int) -> bytes:
        """The call after which a quote can be appraised; empty where none is needed.

        Parameters: `until` is when the key that the quote speaks for ends, Unix seconds: the contract ends the key with
        the collateral, so that what ends before is replaced where there is newer. Raises InvalidInput (W3B-9101 to
        W3B-9104) for a quote without its collateral, Refused (W3B-9105 to W3B-9107) for collateral that the store
        refuses, Unavailable (W3B-5001) where the chain does not answer, or its clock is not at the collateral's date yet.
        """
        calls = collateral_calls(data, endorsements)
        if await self._valid_until(evidence(data, endorsements)[:32], parse(data).tee) >= until:
            return b""
        wanted = [call for call in calls.all() if await self._changes(call)]
        return encode_call(STORE, "multicall", wanted) if wanted else b""

    async def _valid_until(self, pck: bytes, tee: int) -> int:
        """The end of what it has for a machine, Unix seconds; 0 where something is missing or over.

        What was revoked stays so, whatever is brought: the registration itself is then refused, with the field.
        """
        try:
            answer = await self._ask(encode_call(STORE, "platformOf", pck, tee))
        except Reverted as error:
            return 1 << 64 if _field(decode_revert(error.data)).endswith(_REVOKED) else 0
        if not answer:  # a server that has just started to sync has no code there
            raise Unavailable("W3B-5001", f"the chain has no {STORE} at {self._address}")
        (found,) = decode_result(STORE, "platformOf", answer)
        return int(found[4])

    async def _changes(self, call: bytes) -> bool:
        """Whether it would keep what the call brings: that is neither there already nor older than what is."""
        try:
            return any(await self._ask(call))
        except Reverted as error:
            revert = decode_revert(error.data)
        field = _field(revert)
        if field.endswith(_OLDER):
            return False
        head = await self._chain.block("latest")
        if field.endswith(_TIME) and head is not None and head.timestamp < int(self._clock()):
            raise Unavailable("W3B-5001", f"the chain's clock stands at {head.timestamp}: {revert}")
        code = next((code for end, code in _CODES.items() if field.endswith(end)), "W3B-9107")
        raise Refused(code, f"the store takes no such collateral: {revert}", field="collateral")

    async def _ask(self, call: bytes) -> bytes:
        return await self._chain.call(self._sender, self._address, call)


def _field(revert: Revert) -> bytes:
    """What the store names in a refusal, such as `tcb_info.older`; empty where it names nothing."""
    return bytes(revert.args.get("field", b"")).rstrip(b"\0")
