"""For every test: properties have no time limit of their own, for CI shares its machine; pytest's own limit remains."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("shared-machine", deadline=None, print_blob=True)
settings.load_profile("shared-machine")
