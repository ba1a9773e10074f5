"""The Solidity contracts and their compiled artifacts.

Comes in: the sources here and OpenZeppelin's from npm; `compile.py` turns them into `artifacts/`, which are committed
and compared byte for byte in CI. Goes out: ABI and bytecode, read by `verifier.bindings`.
"""
