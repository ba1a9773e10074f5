"""`w3b_` methods: what decided a block, and who decides the next."""

from __future__ import annotations

from typing import Any

from l1.chain.store import StoreError
from l1.rpc.backend import PENDING, Backend
from l1.rpc.encoding import Params, data, quantity
from l1.rpc.errors import SERVER_ERROR, RpcError

Json = dict[str, Any]


class ConsensusMethods:
    """Finality and delegates of one chain."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def finality(self) -> Json:
        """`w3b_finality`: how far the chain is final, and by what."""
        finality = self._backend.chain.finality
        return {
            "source": finality.source,
            "safe": quantity(finality.safe),
            "finalized": quantity(finality.finalized),
        }

    def get_rules(self) -> str:
        """`w3b_getRules`: the consensus rules in their canonical form, to which block 0's mixHash commits; empty where
        the genesis has none."""
        rules = self._backend.chain.genesis.consensus
        return data(rules.encoded() if rules else b"")

    def get_header(self, values: list[Any]) -> str | None:
        """`w3b_getHeader(block)`: RLP of the header, whose keccak256 is the block's hash."""
        number = self._backend.resolve(Params(values, 1).required(0))
        stored = None if number is None or number == PENDING else self._backend.chain.block(number)
        return None if stored is None else data(stored.block.header)

    def get_certificate(self, values: list[Any]) -> Json | None:
        """`w3b_getCertificate(block)`: header, footer and round; null for a block that no delegates decided."""
        number = self._backend.resolve(Params(values, 1).required(0))
        if number is None or number == PENDING:
            return None
        chain = self._backend.chain
        stored, certificate, footer = chain.block(number), chain.certificate(number), chain.footer(number)
        if stored is None or certificate is None or footer is None:
            return None
        return {
            "number": quantity(number),
            "hash": data(stored.block.hash),
            "header": data(stored.block.header),
            "footer": data(footer),
            "round": quantity(certificate.round),
            "signers": [quantity(each) for each in certificate.signer_indices()],
        }

    def get_delegates(self, values: list[Any]) -> list[Json]:
        """`w3b_getDelegates(block)`: the set that decides the block after this one, in proposer order.

        Empty on a chain that one producer makes.
        """
        chain = self._backend.chain
        number = self._backend.resolve(Params(values, 1).required(0))
        if number is None:
            raise RpcError(SERVER_ERROR, "header not found")
        if not chain.genesis.delegates:
            return []
        try:
            delegates = chain.delegates_at((chain.head_number if number == PENDING else number) + 1)
        except StoreError as error:
            raise RpcError(SERVER_ERROR, str(error)) from error
        return [
            {"address": data(each.address), "power": quantity(each.power), "blsKey": data(each.key)}
            for each in delegates.members
        ]
