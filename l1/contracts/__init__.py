"""The chain's own contracts as Python sees them, whatever they do: ABI, and code for a genesis.

In come a compiled artifact and values; out come call data, values out of results, logs and reverts, and the code that a
constructor leaves behind.
"""
