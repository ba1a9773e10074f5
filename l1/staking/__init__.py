"""Staking, election, rewards and slashing of the chain, as pure functions of values.

In come a `StakingState`, a `Parameters` set and an operation or the producers of an epoch's blocks; out come the next
state, the delegates of an epoch, and the system calls that a block must contain. Integers only: no clock, no floating
point, no randomness. `verifier/contracts/l1/Staking.sol` holds the same state on chain.
"""
