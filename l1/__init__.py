"""Our own chain: blocks, mempool, execution by revm and the Ethereum JSON-RPC in front of it.

In come signed transactions; out come blocks, receipts, logs and proofs of state.
"""
