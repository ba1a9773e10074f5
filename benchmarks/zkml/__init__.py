"""One small model proven both ways: its inference in WASM under a TEE prover, and a Groth16 proof of the same network."""
