"""The chain without its network face: genesis, storage, mempool, block production.

In come signed transactions and the clock; out come durable blocks and the state after each. Execution is `native`'s.
"""
