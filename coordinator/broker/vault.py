"""The broker's secrets: files of mode 600, each with the programs that may have it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provers.installation import private_folder, write_private
from verifier.attestation.secret_request import check_name
from verifier.errors import InvalidInput, Refused, Unavailable

MAX_SECRET = 64 * 1024


@dataclass(frozen=True)
class Secret:
    """A secret, and who may have it."""

    name: str
    value: bytes = field(repr=False)
    program_ids: frozenset[bytes]
    """32 bytes each: attested programs, as in the Statement."""
    allow_simulated: bool = False
    """Whether evidence under a simulated anchor is enough: for development only."""

    def __post_init__(self) -> None:
        """Raises InvalidInput (W3B-9120)."""
        check_name(self.name)
        if not 0 < len(self.value) <= MAX_SECRET:
            why = f"a secret has 1 to {MAX_SECRET} bytes, not {len(self.value)}"
            raise InvalidInput("W3B-9120", why, field="value")
        if not self.program_ids or any(len(each) != 32 for each in self.program_ids):
            raise InvalidInput("W3B-9120", "a secret names at least one program id of 32 bytes", field="program_id")


class Vault:
    """A folder of secrets. Parameters: `folder` is made with mode 700. Raises Unavailable (W3B-9125)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            private_folder(folder)
        except OSError as error:
            raise _unusable(error) from error

    def put(self, secret: Secret) -> None:
        """Keep a secret, whole or not at all; one of the same name is replaced. Raises Unavailable (W3B-9125)."""
        found = {
            "value": secret.value.hex(),
            "program_ids": sorted(each.hex() for each in secret.program_ids),
            "allow_simulated": secret.allow_simulated,
        }
        try:
            write_private(self._path(secret.name), json.dumps(found))
        except OSError as error:
            raise _unusable(error) from error

    def get(self, name: str) -> Secret:
        """A secret. Raises Refused (W3B-9126) where there is none, Unavailable (W3B-9125) for a file that is none."""
        path = self._path(check_name(name))
        try:
            found: Any = json.loads(path.read_text("utf-8"))
            programs = frozenset(bytes.fromhex(each) for each in found["program_ids"])
            return Secret(name, bytes.fromhex(found["value"]), programs, found["allow_simulated"] is True)
        except FileNotFoundError as error:
            raise no_secret(name) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            # The file's content stays out of the message: it is the secret.
            raise Unavailable("W3B-9125", f"{path.name} is no secret: {type(error).__name__}", field="name") from error

    def names(self) -> list[str]:
        """Every secret's name, sorted."""
        return sorted(each.name.removesuffix(_SUFFIX) for each in self._folder.glob(f"[!.]*{_SUFFIX}"))

    def remove(self, name: str) -> None:
        """Raises Refused (W3B-9126) where there is none."""
        try:
            self._path(check_name(name)).unlink()
        except FileNotFoundError as error:
            raise no_secret(name) from error

    def _path(self, name: str) -> Path:
        return self._folder / (name + _SUFFIX)


_SUFFIX = ".secret.json"


def no_secret(name: str) -> Refused:
    """The answer for a secret that is not there, and for one that the program may not have: the same."""
    return Refused("W3B-9126", f"there is no secret {name!r} for this program", field="name")


def _unusable(error: OSError) -> Unavailable:
    return Unavailable("W3B-9125", f"the folder of secrets cannot be used: {error.strerror}", field="folder")
