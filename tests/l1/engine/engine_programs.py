"""Random programs of the EVM: every instruction with arguments that make sense often enough, as hypothesis strategies."""

from __future__ import annotations

from hypothesis import strategies as st

# name: (opcode, kinds of its arguments from the top of the stack down, results). w word, m offset in memory, n length,
# a address, g gas, s slot, v wei, t shift or index.
OPERATIONS: dict[str, tuple[int, str, int]] = {
    "ADD": (0x01, "ww", 1),
    "MUL": (0x02, "ww", 1),
    "SUB": (0x03, "ww", 1),
    "DIV": (0x04, "ww", 1),
    "SDIV": (0x05, "ww", 1),
    "MOD": (0x06, "ww", 1),
    "SMOD": (0x07, "ww", 1),
    "ADDMOD": (0x08, "www", 1),
    "MULMOD": (0x09, "www", 1),
    "EXP": (0x0A, "ww", 1),
    "SIGNEXTEND": (0x0B, "tw", 1),
    "LT": (0x10, "ww", 1),
    "SLT": (0x12, "ww", 1),
    "EQ": (0x14, "ww", 1),
    "NOT": (0x19, "w", 1),
    "BYTE": (0x1A, "tw", 1),
    "SHL": (0x1B, "tw", 1),
    "SHR": (0x1C, "tw", 1),
    "SAR": (0x1D, "tw", 1),
    "CLZ": (0x1E, "w", 1),
    "KECCAK256": (0x20, "mn", 1),
    "ADDRESS": (0x30, "", 1),
    "BALANCE": (0x31, "a", 1),
    "ORIGIN": (0x32, "", 1),
    "CALLER": (0x33, "", 1),
    "CALLVALUE": (0x34, "", 1),
    "CALLDATALOAD": (0x35, "m", 1),
    "CALLDATASIZE": (0x36, "", 1),
    "CALLDATACOPY": (0x37, "mmn", 0),
    "CODESIZE": (0x38, "", 1),
    "CODECOPY": (0x39, "mmn", 0),
    "GASPRICE": (0x3A, "", 1),
    "EXTCODESIZE": (0x3B, "a", 1),
    "EXTCODECOPY": (0x3C, "ammn", 0),
    "RETURNDATASIZE": (0x3D, "", 1),
    "RETURNDATACOPY": (0x3E, "mtt", 0),
    "EXTCODEHASH": (0x3F, "a", 1),
    "BLOCKHASH": (0x40, "t", 1),
    "COINBASE": (0x41, "", 1),
    "TIMESTAMP": (0x42, "", 1),
    "NUMBER": (0x43, "", 1),
    "PREVRANDAO": (0x44, "", 1),
    "GASLIMIT": (0x45, "", 1),
    "CHAINID": (0x46, "", 1),
    "SELFBALANCE": (0x47, "", 1),
    "BASEFEE": (0x48, "", 1),
    "BLOBHASH": (0x49, "t", 1),
    "BLOBBASEFEE": (0x4A, "", 1),
    "MLOAD": (0x51, "m", 1),
    "MSTORE": (0x52, "mw", 0),
    "MSTORE8": (0x53, "mw", 0),
    "SLOAD": (0x54, "s", 1),
    "SSTORE": (0x55, "sw", 0),
    "PC": (0x58, "", 1),
    "MSIZE": (0x59, "", 1),
    "GAS": (0x5A, "", 1),
    "TLOAD": (0x5C, "s", 1),
    "TSTORE": (0x5D, "sw", 0),
    "MCOPY": (0x5E, "mmn", 0),
    "LOG0": (0xA0, "mn", 0),
    "LOG1": (0xA1, "mnw", 0),
    "LOG2": (0xA2, "mnww", 0),
    "LOG4": (0xA4, "mnwwww", 0),
    "CREATE": (0xF0, "vmn", 1),
    "CALL": (0xF1, "gavmnmn", 1),
    "CALLCODE": (0xF2, "gavmnmn", 1),
    "DELEGATECALL": (0xF4, "gamnmn", 1),
    "CREATE2": (0xF5, "vmnw", 1),
    "STATICCALL": (0xFA, "gamnmn", 1),
}
_ENDINGS = {"STOP": b"\x00", "RETURN": b"\x60\x20\x5f\xf3", "REVERT": b"\x60\x20\x5f\xfd", "INVALID": b"\xfe"}
_EDGES = [0, 1, 2, 31, 32, 255, 256, 2**128, 2**255 - 1, 2**255, 2**256 - 1, 2**256 - 2]
PRECOMPILES = [*range(1, 0x12), 0x100]


def instruction(name: str, addresses: list[bytes]) -> st.SearchStrategy[bytes]:
    """An instruction with its arguments, and what becomes of its result."""
    targets = [int.from_bytes(each) for each in addresses] + PRECOMPILES
    kinds = {
        "w": st.sampled_from(_EDGES) | st.integers(0, 2**256 - 1),
        "m": st.integers(0, 200),
        "n": st.integers(0, 100),
        "a": st.sampled_from(targets),
        "g": st.integers(0, 100_000),
        "s": st.integers(0, 4),
        "v": st.sampled_from([0, 0, 0, 1, 10**9, 2**200]),
        "t": st.integers(0, 300),
    }
    code, arguments, results = OPERATIONS[name]

    @st.composite
    def drawn(draw: st.DrawFn) -> bytes:
        pushed = b"".join(push(draw(kinds[kind])) for kind in reversed(arguments))
        if not results:
            return pushed + bytes([code])
        # What comes out is seen in the state (SSTORE), in memory (MSTORE), or not at all (POP).
        sink = draw(st.sampled_from([b"\x55", b"\x55", b"\x52", b"\x50"]))
        place = b"" if sink == b"\x50" else push(draw(kinds["s"] if sink == b"\x55" else kinds["m"]))
        return pushed + bytes([code]) + place + sink

    return drawn()


def programs(addresses: list[bytes]) -> st.SearchStrategy[bytes]:
    """Programs that call and read these accounts, the precompiles, and themselves; sometimes any bytes."""
    any_instruction = st.sampled_from(sorted(OPERATIONS)).flatmap(lambda name: instruction(name, addresses))
    ending = st.sampled_from([*_ENDINGS.values(), b""]) | st.sampled_from(addresses).map(
        lambda heir: push(int.from_bytes(heir)) + b"\xff"
    )
    shaped = st.tuples(st.lists(any_instruction, min_size=3, max_size=30), ending).map(
        lambda parts: b"".join(parts[0]) + parts[1]
    )
    return shaped | shaped | shaped | st.binary(max_size=60)


def push(value: int) -> bytes:
    """The shortest PUSH of a number."""
    size = (value.bit_length() + 7) // 8
    return bytes([0x5F + size]) + value.to_bytes(size)


def init_code(runtime: bytes) -> bytes:
    """Code that deploys `runtime`."""
    # PUSH2 size, DUP1, PUSH1 10, PUSH0, CODECOPY, PUSH0, RETURN
    return b"\x61" + len(runtime).to_bytes(2) + bytes.fromhex("80600a5f395ff3") + runtime
