"""How far and how long a shipment left 2 to 8 degrees Celsius, the range that most vaccines are kept in.

A payload is a temperature in tenths of a degree: 2 bytes, two's complement, big-endian.
"""

LOWEST = 20
HIGHEST = 80


def temperature(payload):
    """Tenths of a degree."""
    if len(payload) != 2:
        raise ValueError("a payload has 2 bytes")
    value = payload[0] << 8 | payload[1]
    return value - 65536 if value >= 32768 else value


def compute(devices, readings):
    """Readings, those outside of the range, the longest time outside in milliseconds, the coldest and the warmest.

    Time outside is that between the first and the last of a device's readings outside, one after the other.
    """
    if not readings:
        raise ValueError("the window has no readings")
    outside = 0
    longest = 0
    device = None
    since = None
    for reading in readings:
        value = temperature(reading.payload)
        if reading.device != device:
            device = reading.device
            since = None
        if LOWEST <= value <= HIGHEST:
            since = None
            continue
        outside += 1
        if since is None:
            since = reading.timestamp
        longest = max(longest, reading.timestamp - since)
    values = [temperature(reading.payload) for reading in readings]
    return [len(values), outside, longest, min(values), max(values)]
