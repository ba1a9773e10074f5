"""The machine that figures are taken on."""

from __future__ import annotations

from pathlib import Path


def cpu_model() -> str:
    """The processor's name, family and model, as the system says them."""
    fields = dict.fromkeys(("model name", "cpu family", "model"), "unknown")
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() in fields and fields[name.strip()] == "unknown":
            fields[name.strip()] = value.strip()
    return f"{fields['model name']}, family {fields['cpu family']}, model {fields['model']}"
