"""The whole service in one process: the parts wired together, started in order, kept alive, and stopped.

In come settings; out go a running API and, on SIGTERM or SIGINT, an orderly end. A part whose URL the settings name is
used where it is; the others are started here, on loopback.
"""

from __future__ import annotations

from coordinator.service.logs import configure_logs
from coordinator.service.service import Service, run_service

__all__ = ["Service", "configure_logs", "run_service"]
