"""Starting the service: what the operator has to mend is said with a code, never with a traceback."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from verifier.errors import InvalidInput, Unavailable, W3bstreamError

if TYPE_CHECKING:
    from coordinator.settings import Settings

_PREFIX = "W3BSTREAM_"
_WRONG = {
    "int_parsing": "not a whole number",
    "float_parsing": "not a number",
    "bool_parsing": "neither true nor false",
    "greater_than_equal": "less than {ge}",
    "greater_than": "not more than {gt}",
    "less_than_equal": "more than {le}",
    "less_than": "not less than {lt}",
}
"""What is wrong with a value, by pydantic's error type."""


def load_settings() -> Settings:
    """The settings, and a home folder that can be written to.

    Raises InvalidInput (W3B-8007) for a value that is not valid, Unavailable (W3B-8008) when the folder cannot be made,
    and ImportError where the service is not installed.
    """
    from pydantic import ValidationError

    from coordinator.settings import Settings

    try:
        settings = Settings()
    except ValidationError as error:
        raise _wrong_settings(error.errors(include_url=False)) from error
    _make_home(settings)
    return settings


def _wrong_settings(errors: list[Any]) -> InvalidInput:
    names = [f"{_PREFIX}{'.'.join(str(step) for step in each['loc']).upper()}" for each in errors]
    said = [_wrong_value(name, each) for name, each in zip(names, errors, strict=True)]
    return InvalidInput("W3B-8007", "; ".join(said), field=names[0])


def _wrong_value(name: str, error: Any) -> str:
    known = _WRONG.get(error["type"])
    what = known.format(**error.get("ctx", {})) if known else error["msg"].removeprefix("Value error, ")
    if not error["loc"]:
        return str(what)
    # A URL may hold a password.
    value = "" if name.endswith("_URL") else f" is {str(error['input'])[:80]!r}"
    return f"{name}{value}: {what}"


def _make_home(settings: Settings) -> None:
    try:
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        reason = "it is a file" if isinstance(error, FileExistsError) else error.strerror
        raise _no_home(settings, f"cannot be made: {reason}") from error
    if not os.access(settings.home, os.W_OK | os.X_OK):
        raise _no_home(settings, "cannot be written to")


def _no_home(settings: Settings, reason: str) -> Unavailable:
    return Unavailable("W3B-8008", f"the home folder {settings.home} {reason}", field="home")


@contextmanager
def coded_start(settings: Settings) -> Iterator[None]:
    """Give the operating system's errors of a start a code: Unavailable (W3B-8002), the traceback goes to the log."""
    # Said before half a minute of starting; a home that is in use is the better thing to say, and the service says it.
    if not _in_use(settings) and (wrong := _listening(settings)) is not None:
        raise wrong
    try:
        yield
    except OSError as error:
        import structlog

        # At this level it goes to the log file and not to standard error.
        structlog.get_logger(__name__).info("start_failed", exc_info=True)
        raise _listening(settings) or Unavailable("W3B-8002", f"the service did not start: {error}") from error


def _in_use(settings: Settings) -> bool:
    """Whether a service holds the home folder's lock."""
    from coordinator.service.home import LOCK_FILE

    try:
        with (settings.home / LOCK_FILE).open("r") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _listening(settings: Settings) -> W3bstreamError | None:
    """Why the API cannot listen where the settings say; None when it can."""
    host, port = settings.api_host, settings.api_port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        another = "Choose another W3BSTREAM_API_PORT, or leave it out."
        if error.errno == errno.EADDRINUSE:
            return Unavailable(
                "W3B-8002", f"port {port} on {host} is in use", field="W3BSTREAM_API_PORT", next_step=another
            )
        if error.errno in (errno.EACCES, errno.EPERM):
            return Unavailable(
                "W3B-8002", f"this user may not use port {port}", field="W3BSTREAM_API_PORT", next_step=another
            )
        return Unavailable(
            "W3B-8002",
            f"the API cannot listen on {host}: {error.strerror or error}",
            field="W3BSTREAM_API_HOST",
            next_step="Set W3BSTREAM_API_HOST to an address of this machine, or leave it out.",
        )
    return None
