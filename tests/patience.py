"""How long tests wait for what other processes do."""

from __future__ import annotations

PATIENCE = 4.0
"""Every wait's seconds, which are those of an idle machine, are taken this many times: CI shares its machine. A wait ends
as soon as what it is for is there, so only a test that fails takes longer."""
