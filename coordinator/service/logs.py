"""Logs: one JSON line an event, into `<home>/logs/service.log`, and warnings to standard error."""

from __future__ import annotations

import logging
import logging.handlers
from pathlib import Path
from typing import Any

import structlog

from coordinator.access.redaction import redact

LOG_BYTES = 20 * 1024 * 1024
LOG_FILES = 5
NOISY = ("nats", "web3", "urllib3", "asyncio", "ray", "aiosqlite", "sqlalchemy")


def configure_logs(home: Path, *, quiet: bool = False) -> Path:
    """Send structlog and the standard library's logging to the file; with `quiet` nothing goes to standard error.

    Returns the file. Fields that name secrets never reach a log: no room hands one over, what looks like one is
    hidden, and a test greps.
    """
    folder = home / "logs"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / "service.log"
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    file = logging.handlers.RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES)
    file.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                redact,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    handlers: list[logging.Handler] = [file]
    if not quiet:
        console = logging.StreamHandler()
        console.setLevel(logging.WARNING)
        console.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=shared,
                processors=[
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    redact,
                    structlog.dev.ConsoleRenderer(colors=False),
                ],
            )
        )
        handlers.append(console)
    root = logging.getLogger()
    for handler in list(root.handlers):
        if getattr(handler, "w3bstream", False):
            root.removeHandler(handler)
            handler.close()
    for handler in handlers:
        handler.w3bstream = True  # type: ignore[attr-defined]
        root.addHandler(handler)
    root.setLevel(logging.INFO)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    return path
