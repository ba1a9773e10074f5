"""Text files that the user names, and what is said when one cannot be read."""

from __future__ import annotations

from pathlib import Path

from verifier.errors import InvalidInput


def unreadable(path: Path, error: Exception) -> InvalidInput:
    """The error (W3B-7016) for a file that `error` kept from being read."""
    if isinstance(error, FileNotFoundError):
        return InvalidInput("W3B-7016", f"there is no file {path}", field="file", next_step="Check the path.")
    if isinstance(error, IsADirectoryError):
        return InvalidInput("W3B-7016", f"{path} is a folder", field="file", next_step="Name a file in it.")
    if isinstance(error, UnicodeDecodeError):
        return InvalidInput(
            "W3B-7016", f"{path} is not UTF-8 text", field="file", next_step="Save it as UTF-8, or check the path."
        )
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return InvalidInput("W3B-7016", f"{path} cannot be read: {reason}", field="file")


def read_text(path: Path) -> str:
    """A user's text file. Raises InvalidInput (W3B-7016)."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error
