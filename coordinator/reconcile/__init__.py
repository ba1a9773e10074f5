"""Reconciliation: compares what the ledger, the chain and the streams say about the same readings, tasks and
transactions, and names every contradiction.

In come a ledger, and where they are to be compared a chain and the projects' streams; out goes an `InvariantReport`.
Nothing is changed, and what is under way is no contradiction.
"""
