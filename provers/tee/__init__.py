"""The TEE provers: an isolated WASM runtime, the enclave around it, and one prover for each attested platform.

In comes a proving task; out come the result, signed by a key that attestation evidence vouches for, and that evidence.
"""
