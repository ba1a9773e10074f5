"""The explorer: pages that say where each task is and why, kept live by server-sent events.

In come HTTP requests with an API key or a session, and the ledger's rows; out go HTML that reads without JavaScript,
the same as JSON, and one action, the replay of a webhook. Nothing here decides anything about a task.
"""

from __future__ import annotations

from coordinator.explorer.server import ExplorerServer

__all__ = ["ExplorerServer"]
