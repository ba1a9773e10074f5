"""QUANTITY and DATA (EIP-1474), and readers for the parameters of a request."""

from __future__ import annotations

from typing import Any

from l1.rpc.errors import invalid_params

MAX_DATA_DIGITS = 4_194_304
"""Longest DATA parameter in hex digits: 2 MiB."""


def quantity(value: int) -> str:
    """An integer as QUANTITY."""
    return hex(value)


def data(value: bytes) -> str:
    """Bytes as DATA."""
    return "0x" + value.hex()


def read_quantity(value: Any, name: str, bits: int = 256) -> int:
    """Read a QUANTITY below 2^bits. Raises `RpcError` -32602."""
    if not isinstance(value, str) or not value.startswith("0x"):
        raise invalid_params(f"invalid argument {name}: expected a hex string with 0x prefix")
    digits = value[2:]
    if not digits or len(digits) > bits // 4 or (len(digits) > 1 and digits[0] == "0"):
        raise invalid_params(
            f"invalid argument {name}: a quantity has 1 to {bits // 4} hex digits, no leading zero digits"
        )
    if not set(digits) <= set("0123456789abcdefABCDEF"):
        raise invalid_params(f"invalid argument {name}: invalid hex string")
    return int(digits, 16)


def read_data(value: Any, name: str, length: int | None = None) -> bytes:
    """Read DATA, of exactly `length` bytes if given. Raises `RpcError` -32602."""
    if not isinstance(value, str) or not value.startswith("0x"):
        raise invalid_params(f"invalid argument {name}: expected a hex string with 0x prefix")
    if len(value) > MAX_DATA_DIGITS:
        raise invalid_params(f"invalid argument {name}: more than {MAX_DATA_DIGITS} hex digits")
    try:
        raw = bytes.fromhex(value[2:]) if value[2:].isalnum() or len(value) == 2 else None
    except ValueError:
        raw = None
    if raw is None:
        raise invalid_params(f"invalid argument {name}: invalid hex string")
    if length is not None and len(raw) != length:
        raise invalid_params(f"invalid argument {name}: {len(raw)} bytes, want {length}")
    return raw


def read_address(value: Any, name: str = "address") -> bytes:
    """Read 20 bytes. Raises `RpcError` -32602."""
    return read_data(value, name, 20)


def read_hash(value: Any, name: str = "hash") -> bytes:
    """Read 32 bytes. Raises `RpcError` -32602."""
    return read_data(value, name, 32)


def read_slot(value: Any, name: str = "slot") -> int:
    """Read a storage slot: QUANTITY or DATA of up to 32 bytes. Raises `RpcError` -32602."""
    digits = value[2:] if isinstance(value, str) and value.startswith("0x") else ""
    if not 0 < len(digits) <= 64 or not set(digits) <= set("0123456789abcdefABCDEF"):
        raise invalid_params(f"invalid argument {name}: expected 1 to 64 hex digits with 0x prefix")
    return int(digits, 16)


def read_boolean(value: Any, name: str) -> bool:
    """Read a JSON boolean. Raises `RpcError` -32602."""
    if not isinstance(value, bool):
        raise invalid_params(f"invalid argument {name}: expected a boolean")
    return value


def read_object(value: Any, name: str) -> dict[str, Any]:
    """Read a JSON object. Raises `RpcError` -32602."""
    if not isinstance(value, dict):
        raise invalid_params(f"invalid argument {name}: expected an object")
    return value


class Params:
    """The positional parameters of one request."""

    def __init__(self, values: list[Any], most: int) -> None:
        if len(values) > most:
            raise invalid_params(f"too many arguments, want at most {most}")
        self._values = values

    def required(self, index: int) -> Any:
        """A parameter that must be there. Raises `RpcError` -32602."""
        if index >= len(self._values) or self._values[index] is None:
            raise invalid_params(f"missing value for required argument {index}")
        return self._values[index]

    def optional(self, index: int, default: Any = None) -> Any:
        """A parameter, or `default` where it is absent or null."""
        if index >= len(self._values) or self._values[index] is None:
            return default
        return self._values[index]
