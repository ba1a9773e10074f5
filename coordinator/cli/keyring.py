"""Device keys on the user's own machine: one file a device, `<name>.json`, mode 600."""

from __future__ import annotations

import re
from pathlib import Path

from provers.installation import write_private
from verifier.errors import Conflict, InvalidInput, NotFound
from verifier.reading import DeviceKey, KeyType

SUFFIX = ".json"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")


def path_of(folder: Path, name: str) -> Path:
    """Where the key of that name lies. Raises InvalidInput (W3B-7016) for a name that is no file name."""
    if _NAME.fullmatch(name) is None or name.startswith("."):
        raise InvalidInput("W3B-7016", f"{name[:100]!r} is not 1 to 100 letters, digits, '.', '_' or '-'", field="name")
    return folder / f"{name}{SUFFIX}"


def generate(folder: Path, name: str, key_type: KeyType) -> DeviceKey:
    """Make a key and write it. Raises Conflict (W3B-7016) when a key of that name exists: it is never overwritten."""
    key, path = DeviceKey.generate(key_type), path_of(folder, name)
    if not write_private(path, key.to_json() + "\n", keep=True):
        raise Conflict("W3B-7016", f"{path} exists already", next_step="Choose another name.")
    return key


def read(path: Path) -> DeviceKey:
    """The key in a file. Raises InvalidInput (W3B-7016, W3B-1010)."""
    try:
        return DeviceKey.from_json(path.read_text())
    except OSError as error:
        raise InvalidInput("W3B-7016", f"{path} cannot be read: {error}") from error


def load(folder: Path) -> dict[str, DeviceKey]:
    """Every key of a folder by its name. Raises InvalidInput (W3B-7016, W3B-1010)."""
    if not folder.is_dir():
        raise InvalidInput(
            "W3B-7016", f"{folder} is no folder", next_step="Make keys: w3bstream keys device generate NAME"
        )
    return {path.name.removesuffix(SUFFIX): read(path) for path in sorted(folder.glob(f"*{SUFFIX}"))}


def pick(ring: dict[str, DeviceKey], device: str) -> str:
    """The name of the key that `device` means: a name, or a device id in hex. Raises NotFound (W3B-7016)."""
    if device in ring:
        return device
    wanted = device.lower().removeprefix("0x")
    for name, key in ring.items():
        if key.device.hex() == wanted:
            return name
    raise NotFound(
        "W3B-7016", f"there is no key for device {device[:100]!r}; there are {sorted(ring) or 'none'}", field="device"
    )
