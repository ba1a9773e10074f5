"""The key cache: one Groth16 set-up a circuit and installation.

`<home>/keys/groth16/<sha256 of the r1cs>/` holds `initial.key` (after phase 1), `proving.key` (with this installation's
contribution), `contributions.json` and `label.txt` (both for people: the key file carries them too). Folders have mode
700, files 600. A lock beside the folder keeps two processes from setting up twice; the folder appears by one rename, so
it is whole or absent, also after a power cut (files, folder and parent are synced).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from native._native import Groth16Error, Groth16Key
from provers.installation import installation_home, private_folder, sync_folder
from provers.protocol import Progress
from verifier.errors import Refused, Unavailable, W3bstreamError

DEVELOPMENT_LABEL = "development key (single-party set-up made on this installation)"
"""What such a key is worth, docs/explanation/trusted-setup.md."""
CONTRIBUTOR = "this installation"
PROVING_KEY = "proving.key"
INITIAL_KEY = "initial.key"
LOG = "contributions.json"
LABEL = "label.txt"


def native_error(error: Groth16Error, context: str) -> W3bstreamError:
    """Our error for one of the accelerator's: W3B-4004, W3B-4006, W3B-4007 or W3B-4002 by its kind."""
    kind, message = error.args
    text = f"{context}: {message}"
    if kind == "unsatisfied":
        return Refused("W3B-4004", text, field="witness")
    if kind in ("checksum", "chain", "no-contribution"):
        return Refused("W3B-4006", text, field="key")
    if kind in ("io", "random", "resources", "cancelled"):
        return Unavailable("W3B-4007", text)
    return Refused("W3B-4002", text)


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class KeyCache:
    """The proving keys of one installation. `home` as in `installation_home`; `threads` 0 takes every core."""

    def __init__(self, home: Path | None = None, *, threads: int = 0) -> None:
        self._folder = private_folder(private_folder(installation_home(home) / "keys") / "groth16")
        self._threads = threads

    def folder(self, r1cs: bytes) -> Path:
        """Where the key of this `.r1cs` file lies or will lie."""
        return self._folder / hashlib.sha256(r1cs).hexdigest()

    def key(self, r1cs: bytes, on_progress: Progress) -> Groth16Key:
        """The proving key for an `.r1cs` file: loaded and checked, or set up and contributed to once.

        Waits while another process sets the same key up. Raises Refused W3B-4002 (not an r1cs file for BN254) or
        W3B-4006 (the stored key is damaged or of another circuit: it is never replaced silently, since a new key is a
        new program id), Unavailable W3B-4007 (disk, randomness).
        """
        folder = self.folder(r1cs)
        try:
            with self._locked(folder.name):
                if not folder.exists():
                    self._set_up(r1cs, folder, on_progress)
        except OSError as error:
            raise Unavailable("W3B-4007", f"the key folder {folder} cannot be used: {error}") from error
        return self._load(folder, r1cs)

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """An exclusive lock that the kernel drops when its holder dies."""
        handle = os.open(self._folder / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _set_up(self, r1cs: bytes, folder: Path, on_progress: Progress) -> None:
        draft = folder.with_suffix(".part")
        if draft.exists():  # left by a holder of the lock that died
            shutil.rmtree(draft)
        draft.mkdir(mode=0o700)
        try:
            initial = Groth16Key.setup(r1cs, DEVELOPMENT_LABEL, self._threads, on_progress)
            initial.save(draft / INITIAL_KEY)
            key = initial.contribute(CONTRIBUTOR, self._threads, on_progress)
            key.save(draft / PROVING_KEY)
        except Groth16Error as error:
            shutil.rmtree(draft)
            raise native_error(error, "set-up") from error
        (draft / LOG).write_text(key.log_json() + "\n")
        (draft / LABEL).write_text(DEVELOPMENT_LABEL + "\n")
        for file in draft.iterdir():
            file.chmod(0o600)
            _sync_file(file)
        sync_folder(draft)
        draft.rename(folder)
        sync_folder(self._folder)
        sync_folder(self._folder.parent)  # the groth16 folder itself may be new

    def _load(self, folder: Path, r1cs: bytes) -> Groth16Key:
        path = folder / PROVING_KEY
        try:
            key = Groth16Key.load(path, self._threads)
        except Groth16Error as error:
            kind, message = error.args
            raise Refused("W3B-4006", f"{path}: {message}", field=kind) from error
        if key.r1cs_sha256 != hashlib.sha256(r1cs).digest():
            raise Refused("W3B-4006", f"{path} is the key of r1cs {key.r1cs_sha256.hex()}", field="r1cs")
        if key.contributions == 0:
            raise Refused("W3B-4006", f"{path} has no contribution", field="log")
        return key

    def audit(self, r1cs: bytes) -> None:
        """Check the whole contribution chain against the initial key and the circuit. Raises Refused W3B-4006."""
        folder = self.folder(r1cs)
        key = self._load(folder, r1cs)
        try:
            initial = Groth16Key.load(folder / INITIAL_KEY, self._threads)
            if not key.matches_r1cs(r1cs):
                raise Refused("W3B-4006", f"{folder}: the key's constraints are not the r1cs file's", field="r1cs")
            key.verify_contributions(initial, self._threads)
        except Groth16Error as error:
            raise Refused("W3B-4006", f"{folder}: {error.args[1]}", field=error.args[0]) from error
