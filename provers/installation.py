"""Where an installation keeps its data: keys, caches, the ledger. Every room asks here, so the answer is one."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

HOME_VARIABLE = "W3BSTREAM_HOME"
"""Environment variable that names the data folder."""
TABLE_VARIABLE = "W3BSTREAM_WORKER_TABLE_MIB"
"""Environment variable of a worker: mebibytes that stored multiples of a proving key's points may take, 0 for none."""


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


def write_private(path: Path, content: str | bytes, *, keep: bool = False) -> bool:
    """Write a file of mode 600 that others can read at no moment, whole or not at all, and durably.

    Parameters: `keep` leaves a file alone that is there already, whichever process made it. Folders that are missing
    are made with mode 700. Returns whether the file was written. Raises OSError.
    """
    missing = [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if keep:
            os.link(draft, path)  # refuses where another process was first
        else:
            draft.replace(path)
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    for folder in (path.parent, *(folder.parent for folder in missing)):
        sync_folder(folder)
    return True
