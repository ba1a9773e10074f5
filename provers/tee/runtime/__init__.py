"""The isolated runtime of TEE programs: WASM under wasmtime with fuel, memory and wall-clock limits, and no imports.

In come a program's WASM and a window's readings; out come the ABI words of its output, or a coded refusal.
"""
