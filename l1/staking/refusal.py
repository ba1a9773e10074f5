"""Why an operation is refused."""

from __future__ import annotations


class StakingRefused(ValueError):
    """An operation that the rules refuse; the state is unchanged.

    `reason` is the name of the contract's custom error for the same refusal (Staking.sol), so both can be compared.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
