"""Circom sources that programs share (bits, Poseidon, Baby Jubjub, EdDSA, Merkle trees, a window) and their build.

In come our papers' constants and a program's source; out come its r1cs and its witness calculator, byte for byte again.
"""
