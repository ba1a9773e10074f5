"""Logs: one JSON line an event, into `<home>/logs/service.log`, and warnings to standard error.

What a room binds (`structlog.contextvars`: task, attempt, project, tx, method) stands in every line logged meanwhile,
and so does the open span's trace id.
"""

from __future__ import annotations

import logging
import logging.handlers
from pathlib import Path
from typing import Any

import structlog

from coordinator.access.redaction import redact
from coordinator.observability.spans import add_trace_id

LOG_MIB = 20
"""Size at which the log begins anew."""
LOG_FILES = 5
"""Older ones that are kept."""
NOISY = ("nats", "web3", "urllib3", "asyncio", "ray", "aiosqlite", "sqlalchemy", "opentelemetry")


def configure_logs(home: Path, *, quiet: bool = False, level: str = "INFO", mib: int = LOG_MIB) -> Path:
    """Send structlog and the standard library's logging to the file; with `quiet` nothing goes to standard error.

    Parameters: `level` is the least that the file takes; at `mib` MiB it begins anew. Returns the file. Fields that name
    secrets never reach a log: no room hands one over, what looks like one is hidden, and a test greps.
    """
    folder = home / "logs"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / "service.log"
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        add_trace_id,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    file = logging.handlers.RotatingFileHandler(path, maxBytes=mib << 20, backupCount=LOG_FILES)
    file.setFormatter(_formatter(shared, structlog.processors.JSONRenderer()))
    handlers: list[logging.Handler] = [file]
    if not quiet:
        console = logging.StreamHandler()
        console.setLevel(logging.WARNING)
        console.setFormatter(_formatter(shared, structlog.dev.ConsoleRenderer(colors=False)))
        handlers.append(console)
    _install(handlers, level)
    return path


def _formatter(shared: list[Any], renderer: Any) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redact, renderer],
    )


def _install(handlers: list[logging.Handler], level: str) -> None:
    """Put them in place of those of an earlier call."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        if getattr(handler, "w3bstream", False):
            root.removeHandler(handler)
            handler.close()
    for handler in handlers:
        handler.w3bstream = True  # type: ignore[attr-defined]
        root.addHandler(handler)
    root.setLevel(level)
    for name in NOISY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
