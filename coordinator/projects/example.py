"""The commented project file that `w3bstream project init` writes."""

from __future__ import annotations

import json
from collections.abc import Sequence

from verifier.reading import Device

_HEAD = """\
# A W3bstream project file. Every field stands in docs/reference/project-file.md.
# Publish it with `w3bstream project publish`; a published version never changes, publish the next one instead.
schema: w3bstream/v1
name: {name}

# Where readings arrive. "embedded" is the NATS server that comes with the service; or nats://host:4222 of your own,
# with `credentials: {name}.creds` lying in the installation's `credentials` folder.
da:
  url: embedded

# Whose readings count, at most 1,024 devices. A device's id is the last 20 bytes of keccak256 of its public key unless
# `device` says otherwise. The circuit below checks babyjubjub signatures.
devices:
"""

_TAIL = """
# A window closes with so many readings, or when its first reading is so old. Each window becomes one task.
window:
  readings: 16
  seconds: 30

# How the window's readings and the device set are committed to.
commitment: poseidon-bn254-v1

# What is proven about each window, and with which proof system.
programs:
  - kind: zkp.groth16
    program: temperature_window

# Which proofs a task needs: `zkp(groth16)`, or for instance `2 of [zkp, tee.sgx, tee.nitro]`.
assurance: zkp(groth16)

# A task that is not settled so long after its window closed expires.
deadline_seconds: 3600

# The contract that receives results: an address, `sample` for the one that comes with the service, or leave it out.
dapp: sample

# Who hears of results. `w3bstream webhook secret EP` gives an endpoint a new signing secret and shows it.
# webhooks:
#   - url: https://example.com/w3bstream
#     events: [w3bstream.task.final, w3bstream.task.failed]
#     signing: ed25519    # or hmac (the default), or both
"""


def example(name: str, devices: Sequence[Device]) -> str:
    """A project file for `devices` (at least one, to be valid) with the sample program, its fields explained."""
    rows = []
    for device in devices:
        rows.append(f"  - key_type: {device.key_type.label}\n    public_key: 0x{device.public_key.hex()}\n")
        if device.label:
            rows.append(f"    label: {json.dumps(device.label, ensure_ascii=True)}\n")
    return _HEAD.format(name=name) + ("".join(rows) or "  []\n") + _TAIL
