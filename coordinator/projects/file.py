"""The project file: read, checked as a whole, and brought into the canonical form whose hash stands on chain."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from eth_hash.auto import keccak
from pydantic import BaseModel, ValidationError

from coordinator.projects.model import ProgramPart, ProjectModel
from coordinator.projects.programs import Manifest, installed_programs
from coordinator.projects.yaml_document import Document, Path, Problem, dotted, read_document, refuse
from coordinator.webhooks.event import EVENT_TYPES
from verifier.assurance import Assurance, parse_assurance, resolve_assurance
from verifier.commitment import SCHEMES
from verifier.errors import InvalidInput
from verifier.reading import Device, KeyType, device_id

Finding = tuple[Path, str]


@dataclass(frozen=True)
class ProjectFile:
    """A project file that passed every check."""

    text: str
    """As it was given."""
    model: ProjectModel
    config: dict[str, Any]
    """Canonical form: defaults filled in, device ids and hex in lower case, the assurance resolved."""
    config_hash: bytes
    """keccak256 of the canonical form as JSON with sorted keys and no spaces, 32 bytes."""
    devices: tuple[Device, ...]
    """In the file's order."""
    device_set_root: bytes
    """32 bytes."""
    assurance: Assurance
    """Kinds in the order of the file's programs."""
    capacity: int
    """Leaves of the readings tree: the programs' capacity."""


def parse_project_file(text: str, programs: Mapping[str, Manifest] | None = None) -> ProjectFile:
    """Read and check a project file; with 1,024 devices that takes seconds, so keep it off the event loop.

    `programs` are the manifests by name; the default is what is installed. Raises InvalidInput (W3B-2001) that names
    every problem with its line.
    """
    document = read_document(text)
    model = _validated(document)
    known = installed_programs() if programs is None else programs
    problems = [
        Problem(path, document.line_of(path), message)
        for check in (_check_names, _check_devices, _check_programs, _check_window, _check_webhooks)
        for path, message in check(model, known)
    ]
    if problems:
        raise refuse(problems)
    devices = tuple(_device(part) for part in model.devices)
    manifests = [known[part.program] for part in model.programs]
    assurance = resolve_assurance(parse_assurance(model.assurance), [part.kind for part in model.programs])
    config = _canonical(model, devices, assurance)
    return ProjectFile(
        text,
        model,
        config,
        keccak(json.dumps(config, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()),
        devices,
        SCHEMES[model.commitment].device_set_root(devices),
        assurance,
        manifests[0].capacity,
    )


def _canonical(model: ProjectModel, devices: Sequence[Device], assurance: Assurance) -> dict[str, Any]:
    config: dict[str, Any] = model.model_dump(mode="json", by_alias=True)
    for part, device in zip(config["devices"], devices, strict=True):
        part["device"] = f"0x{device.device.hex()}"
        part["public_key"] = f"0x{device.public_key.hex()}"
    config["assurance"] = assurance.canonical()
    for hook in config["webhooks"]:
        if hook["signing"] == "hmac":  # files from before there was a choice keep their hash
            del hook["signing"]
    if config["dapp"] is not None:
        config["dapp"] = config["dapp"].lower()
    return config


def _device(part: Any) -> Device:
    public_key = bytes.fromhex(part.public_key[2:])
    name = bytes.fromhex(part.device[2:]) if part.device else device_id(public_key)
    return Device(name, KeyType.from_label(part.key_type), public_key, part.label)


def _validated(document: Document) -> ProjectModel:
    try:
        return ProjectModel.model_validate(document.data)
    except ValidationError as error:
        problems = []
        found = error.errors(include_url=False)
        for each in found:
            path: Path = tuple(each["loc"])
            if each["type"] == "too_short" and any(len(other["loc"]) > len(path) for other in found):
                continue  # a list with a bad item counts as empty; the item has its own line
            problems.append(Problem(path, document.line_of(path), _explain(path, each["type"], each["msg"], document)))
        raise refuse(problems) from error


def _explain(path: Path, kind: str, message: str, document: Document) -> str:
    name = dotted(path) or "the file"
    if kind == "missing":
        return f"{name} is missing"
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(path[-1]), _fields_at(path[:-1]), n=1)
        return f"{name} is unknown" + (f"; did you mean {near[0]}?" if near else "")
    value: Any = document.data
    for step in path:
        value = value[step]
    shown = json.dumps(value, ensure_ascii=False)
    return f"{name} is {shown if len(shown) <= 80 else shown[:77] + '...'}: {message[:1].lower()}{message[1:]}"


def _fields_at(path: Path) -> list[str]:
    """Names of the fields that the part at `path` has."""
    part: type[BaseModel] = ProjectModel
    for step in path:
        if isinstance(step, str) and step in part.model_fields:
            annotation = part.model_fields[step].annotation
            inner = [annotation, *get_args(annotation)]
            part = next(each for each in inner if isinstance(each, type) and issubclass(each, BaseModel))
    return [field.alias or name for name, field in part.model_fields.items()]


def _check_names(model: ProjectModel, _known: Mapping[str, Manifest]) -> Iterator[Finding]:
    if model.commitment not in SCHEMES:
        yield ("commitment",), f"commitment is {model.commitment!r}; known are {sorted(SCHEMES)}"
    credentials = model.da.credentials
    if credentials is None:
        return
    # Without this rule one project could use the credentials of another.
    if credentials != f"{model.name}.creds" and not credentials.startswith(f"{model.name}."):
        yield ("da", "credentials"), f"da.credentials is {credentials!r}; it must begin with {model.name + '.'!r}"
    if model.da.url == "embedded":
        yield ("da", "credentials"), "da.credentials is given, but the embedded DA layer takes none"


def _check_devices(model: ProjectModel, _known: Mapping[str, Manifest]) -> Iterator[Finding]:
    seen: dict[tuple[str, bytes], int] = {}
    for index, part in enumerate(model.devices):
        device = _device(part)
        try:
            device.check_key()
        except InvalidInput:
            yield ("devices", index, "public_key"), f"devices[{index}].public_key is no valid {part.key_type} key"
        for name, shown, value in (("device", "id", device.device), ("public_key", "public key", device.public_key)):
            first = seen.setdefault((name, value), index)
            if first != index:
                yield ("devices", index, name), f"devices[{index}] has the {shown} of devices[{first}]"


def _check_programs(model: ProjectModel, known: Mapping[str, Manifest]) -> Iterator[Finding]:
    kinds: list[str] = []
    first: Manifest | None = None
    for index, part in enumerate(model.programs):
        here = f"programs[{index}]"
        if part.kind in kinds:
            yield ("programs", index, "kind"), f"{here}.kind is {part.kind}, which another program has"
        kinds.append(part.kind)
        manifest = known.get(part.program)
        if manifest is None:
            near = difflib.get_close_matches(part.program, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"installed are {sorted(known) or 'none'}"
            yield ("programs", index, "program"), f"{here}.program {part.program} is not installed; {hint}"
            continue
        yield from _check_program(model, index, part, manifest)
        first = first or manifest
        for name in ("capacity", "payload"):
            mine, other = getattr(manifest, name), getattr(first, name)
            if mine != other:
                yield (
                    ("programs", index, "program"),
                    f"{here}: {part.program} has {name} {mine}, but {first.name} has {other}; one task has one window",
                )
    try:
        resolve_assurance(parse_assurance(model.assurance), list(dict.fromkeys(kinds)))
    except ValueError as error:
        yield ("assurance",), f"assurance is {model.assurance!r}: {error}"


def _check_program(model: ProjectModel, index: int, part: ProgramPart, manifest: Manifest) -> Iterator[Finding]:
    path: Path = ("programs", index)
    if not manifest.proves(part.kind):
        yield (
            (*path, "kind"),
            f"programs[{index}].kind is {part.kind}; the program {part.program} is of kind "
            f"{' or '.join(manifest.kinds or (manifest.kind,))}",
        )
    if manifest.scheme != model.commitment:
        yield (
            ("commitment",),
            f"commitment is {model.commitment}; the program {part.program} takes {manifest.scheme}",
        )
    for at, device in enumerate(model.devices):
        if not manifest.takes_key_type(device.key_type):
            yield (
                ("devices", at, "key_type"),
                f"devices[{at}].key_type is {device.key_type}; the program {part.program} takes "
                f"{' or '.join(manifest.accepted_key_types)}",
            )


def _check_window(model: ProjectModel, known: Mapping[str, Manifest]) -> Iterator[Finding]:
    for part in model.programs:
        manifest = known.get(part.program)
        if manifest is not None and model.window.readings > manifest.capacity:
            yield (
                ("window", "readings"),
                f"window.readings is {model.window.readings}; the program {part.program} takes at most "
                f"{manifest.capacity}",
            )


def _check_webhooks(model: ProjectModel, _known: Mapping[str, Manifest]) -> Iterator[Finding]:
    urls: set[str] = set()
    for index, part in enumerate(model.webhooks):
        if part.url in urls:
            yield ("webhooks", index, "url"), f"webhooks[{index}].url is given twice"
        urls.add(part.url)
        for event in part.events:
            if event not in EVENT_TYPES:
                yield (
                    ("webhooks", index, "events"),
                    f"webhooks[{index}].events has {event!r}; there are {list(EVENT_TYPES)}",
                )
