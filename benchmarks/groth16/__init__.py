"""Groth16 proving on the sample program, ours beside arkworks, gnark and snarkjs, each proof verified.

In: nothing but this machine; the circuit is the product's, the key is made in a temporary folder. Out: a table of proving
times at equal threads, and with `--json` one JSON object as the last line (`python -m benchmarks.groth16 --help`).
"""
