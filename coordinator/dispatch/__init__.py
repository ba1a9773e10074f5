"""The dispatch: it gives leases to prover workers, hears from them, verifies what they return and records how it ended.

In come OPEN tasks, mined assignments and the workers' reports; out come attempts with verified proofs, and provers'
statuses.
"""
