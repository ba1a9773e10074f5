"""The policy: who proves what next, when to try again, when a task has proofs enough, and when a prover counts as
there.

In come values (tasks, provers, limits, the time); out come decisions. Nothing here reads a clock, a database or a
socket.
"""
