"""An exhaustive check of the consensus of one height: every run of `l1.consensus.machine.apply` within given bounds.

In come bounds (voting powers, who is faulty, rounds) and the machine or a mutation of it; out come how many states
there are, which invariants are violated, and a shortest run to each violation.
"""
