"""Asks verifiers on chain what their word rests on, before a production installation publishes a project with them."""

from __future__ import annotations

from collections.abc import Mapping

from coordinator.settlement.chain import Chain, Reverted
from verifier.bindings import call_is_simulated
from verifier.errors import Refused


async def refuse_simulated(chain: Chain, sender: str, verifiers: Mapping[str, bytes]) -> None:
    """Require that each of these verifiers, addresses by proof kind, says that it trusts no simulated anchor.

    It is what a production Router asks at every proof. Raises Refused (W3B-2009) that names the first kind whose verifier
    says otherwise or does not say, Unavailable (W3B-5001) when the chain does not answer.
    """
    for kind, verifier in verifiers.items():
        address = f"0x{verifier.hex()}"
        try:
            answer = await chain.call(sender, address, call_is_simulated())
        except Reverted:
            answer = b""
        if answer != bytes(32):
            says = (
                "rests on a simulated trust anchor" if answer == bytes(31) + b"\x01" else "does not say what it trusts"
            )
            raise Refused("W3B-2009", f"the verifier {address} of {kind} {says}", field="programs")
