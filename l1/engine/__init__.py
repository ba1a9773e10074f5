"""Our consensus over another executor: geth, driven through the Engine API, holds the state and executes the blocks.

In come blocks that delegates decide, and transactions from geth's own pool; out come blocks that geth builds and states
that it answers for. Nothing here is needed by a chain on our own executor.
"""
