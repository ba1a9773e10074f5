"""The zero-knowledge provers: Groth16 over circom circuits, its witnesses and its keys; later proof systems beside it.

In comes a program's artifacts and a proving task; out comes a proof that the kind's contract accepts, or a coded error.
"""
