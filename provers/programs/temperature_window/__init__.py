"""The sample program: count, sum, minimum and maximum of a window of signed int32 temperatures, and its completeness.

In comes a window's readings; out come the ABI-encoded output and the signals of temperature_window.circom.
"""

from __future__ import annotations

from collections.abc import Sequence

from eth_abi.abi import encode as abi_encode

from provers.programs import CircuitInputs
from provers.programs.window import window_completeness, window_inputs
from provers.protocol import ProvingTask
from verifier.completeness import COMPLETENESS_OUTPUTS, Completeness
from verifier.errors import InvalidInput
from verifier.reading import Reading

CAPACITY = 16
"""Readings that one window holds at most."""
BIAS = 1 << 31
"""What is added to a value to make it a number from 0 to 2^32 - 1."""
PAYLOAD = "int32"
"""A reading's payload: 4 bytes, two's complement, big-endian."""
OUTPUTS = ("uint32 count", "int64 sum", "int32 minimum", "int32 maximum", *COMPLETENESS_OUTPUTS)
"""The output tuple, ABI types and names."""


TemperatureOutput = tuple[int, int, int, int]
"""(count uint32, sum int64, minimum int32, maximum int32)."""


def value_of(reading: Reading) -> int:
    """The payload as an int32. Raises InvalidInput W3B-1007 for a payload that has not 4 bytes."""
    if len(reading.payload) != 4:
        raise InvalidInput("W3B-1007", f"payload has {len(reading.payload)} bytes, not 4", field="payload")
    return int.from_bytes(reading.payload, "big", signed=True)


def compute(readings: Sequence[Reading]) -> TemperatureOutput:
    """The output of a window. Raises InvalidInput W3B-4021 for an empty one, W3B-1007 for a payload of another size."""
    values = [value_of(reading) for reading in readings]
    if not values:
        raise InvalidInput("W3B-4021", "the window has no readings", field="readings")
    return len(values), sum(values), min(values), max(values)


def public_output(output: TemperatureOutput, completeness: Completeness) -> bytes:
    """The canonical ABI encoding, 256 bytes."""
    return abi_encode([field.split()[0] for field in OUTPUTS], (*output, *completeness.words()))


def output_of(task: ProvingTask) -> bytes:
    """The task's public output. Raises InvalidInput W3B-4021 or W3B-1007."""
    return public_output(compute(task.readings), window_completeness(task))


def circuit_inputs(task: ProvingTask, digest: bytes) -> CircuitInputs:
    """Every input signal for the task; `digest` is the Statement's, 32 bytes.

    Raises InvalidInput W3B-4021 or W3B-1007 and Refused W3B-1004 or W3B-1005 where no proof can exist; a signature that
    does not verify is found by the circuit itself.
    """
    values = [value_of(reading) + BIAS for reading in task.readings]
    inputs = window_inputs(task, digest, CAPACITY)
    inputs["value"] = values + [0] * (CAPACITY - len(values))
    return inputs
