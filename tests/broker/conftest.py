"""Simulated enclaves of the TEE tests, for the broker's."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tee"))
