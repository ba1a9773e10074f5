"""The Rust accelerator behind a typed Python surface: the EVM, Groth16 and the curve arithmetic they need.

In come bytes and plain values; out come bytes and plain values. It holds no policy and releases the GIL while it works.
"""
