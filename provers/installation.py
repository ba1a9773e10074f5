"""Where an installation keeps its data: keys, caches, the ledger. Every room asks here, so the answer is one."""

from __future__ import annotations

import os
from pathlib import Path

HOME_VARIABLE = "W3BSTREAM_HOME"
"""Environment variable that names the data folder."""


def installation_home(home: Path | None = None) -> Path:
    """The data folder, created with mode 700: `home`, else `$W3BSTREAM_HOME`, else `~/.w3bstream`. Raises OSError."""
    chosen = home or Path(os.environ.get(HOME_VARIABLE) or Path.home() / ".w3bstream")
    return private_folder(chosen.expanduser())


def sync_folder(path: Path) -> None:
    """Make a rename, link or new file in the folder survive a power cut: its entries are data of their own (fsync(2)).

    Raises OSError.
    """
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def private_folder(path: Path) -> Path:
    """`path` as an absolute folder that only its owner can enter, created with its parents. Raises OSError."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    return path.resolve()
