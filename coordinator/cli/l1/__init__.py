"""`w3bstream l1`: the chain's own commands, and transactions to its staking and governance contracts.

In come arguments, key files and the JSON-RPC of any node; out go tables, JSON and transactions. The commands that run
nodes and trials are `python -m l1`'s and are only handed over.
"""
