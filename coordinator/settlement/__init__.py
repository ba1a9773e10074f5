"""Settlement: takes what the ledger decided to the chain, exactly once in effect, and brings back what the chain said.

In come ledger facts (tasks to record, attempts to assign, proofs to settle, provers to register); out go signed
transactions from an outbox, and the transitions that their receipts, their finality or a reorg mean.
"""
