"""Contracts of these tests, assembled by hand so that no compiler is needed."""

from __future__ import annotations

from eth_abi import encode

_OPCODES = {
    "STOP": 0x00,
    "ADD": 0x01,
    "CALLVALUE": 0x34,
    "CALLDATALOAD": 0x35,
    "CODECOPY": 0x39,
    "MSTORE": 0x52,
    "SLOAD": 0x54,
    "SSTORE": 0x55,
    "JUMPI": 0x57,
    "JUMPDEST": 0x5B,
    "PUSH0": 0x5F,
    "DUP1": 0x80,
    "LOG1": 0xA1,
    "RETURN": 0xF3,
    "REVERT": 0xFD,
}

REVERT_TEXT = "no value, please"


def assemble(text: str) -> bytes:
    """Bytes of a program: opcodes and 0x literals, each pushed by the shortest PUSH."""
    code = b""
    for token in text.split():
        if token.startswith("0x"):
            literal = bytes.fromhex(token[2:])
            code += bytes([0x5F + len(literal)]) + literal
        else:
            code += bytes([_OPCODES[token]])
    return code


def counter_runtime() -> bytes:
    """Adds one to slot 0, logs it (one topic and the data), returns it. Reverts with
    `Error(string)` when value comes along."""
    body = assemble("PUSH0 SLOAD 0x01 ADD DUP1 PUSH0 SSTORE DUP1 PUSH0 MSTORE 0x20 PUSH0 LOG1 0x20 PUSH0 RETURN")
    reason = bytes.fromhex("08c379a0") + encode(["string"], [REVERT_TEXT])
    head = 4 + len(body)
    tail_size = 12
    failing = assemble(f"JUMPDEST 0x{len(reason):02x} 0x{head + tail_size:02x} PUSH0 CODECOPY")
    failing += assemble(f"0x{len(reason):02x} PUSH0 REVERT")
    assert len(failing) <= tail_size
    failing = failing.ljust(tail_size, b"\x00")
    return assemble(f"CALLVALUE 0x{head:02x} JUMPI") + body + failing + reason


def init_code(runtime: bytes) -> bytes:
    """Code that deploys `runtime`."""
    size = f"0x{len(runtime):04x}"
    prefix = assemble(f"{size} 0x0d PUSH0 CODECOPY {size} PUSH0 RETURN")
    return prefix.ljust(13, b"\x00") + runtime


def storer_runtime() -> bytes:
    """Stores the second call data word at the slot in the first."""
    return assemble("0x20 CALLDATALOAD PUSH0 CALLDATALOAD SSTORE STOP")
