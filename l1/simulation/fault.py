"""The kinds of things that go wrong."""

from __future__ import annotations

from enum import StrEnum


class Fault(StrEnum):
    """What `--faults` may name."""

    DELAY = "delay"
    REORDERING = "reordering"
    LOSS = "loss"
    DUPLICATION = "duplication"
    PARTITION = "partition"
    ASYMMETRY = "asymmetry"
    SKEW = "skew"
    DRIFT = "drift"
    CRASH = "crash"
    TEAR = "tear"
    CHURN = "churn"
    SILENT = "silent"
    EQUIVOCATING = "equivocating"
    DOUBLE_PROPOSING = "double-proposing"
    FLOODING = "flooding"
    AMNESIC = "amnesic"
    WITHHOLDING = "withholding"
    REPLAYING = "replaying"
    ROUND_SKIPPING = "round-skipping"
    INVALID_BLOCKS = "invalid-blocks"
    FORGED_PROOFS = "forged-proofs"
    SPLITTING = "splitting"
    USURPING = "usurping"


BYZANTINE = tuple(Fault)[tuple(Fault).index(Fault.SILENT) :]
"""Faults that are a delegate's will."""
ALL = frozenset(Fault)
