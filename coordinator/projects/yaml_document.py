"""A strict reader for the YAML of project files: plain values with their line numbers, and nothing that surprises.

YAML 1.1 through PyYAML's composer, without what a configuration does not need: no aliases (a few bytes of them can grow
to gigabytes), no tags, no duplicate keys, no second document. A 0x… scalar stays text, because a key is not a number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

from verifier.errors import InvalidInput

MAX_BYTES = 1 << 20
MAX_DEPTH = 16
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z")
_HEX = re.compile(r"0[xX][0-9a-fA-F]*\Z")
_STRING = "tag:yaml.org,2002:str"

Path = tuple[str | int, ...]
"""Keys and list indices from the document's root."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a document."""

    path: Path
    line: int
    """From 1; 0 where no line can be named."""
    text: str

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{self.text}"


@dataclass(frozen=True)
class Document:
    """A read document."""

    data: Any
    """dict, list, str, int, float, bool or None."""
    lines: dict[Path, int]
    """The line of each value and of each key."""

    def line_of(self, path: Path) -> int:
        """The line of the value at `path`, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def refuse(problems: list[Problem]) -> InvalidInput:
    """The error that names all problems, in the order of their lines."""
    ordered = sorted(problems, key=lambda problem: problem.line)
    field = dotted(ordered[0].path)
    return InvalidInput("W3B-2001", "\n".join(dict.fromkeys(str(problem) for problem in ordered)), field=field)


def dotted(path: Path) -> str:
    """`devices[2].label` of ("devices", 2, "label")."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def read_document(text: str) -> Document:
    """Read one YAML document. Raises InvalidInput (W3B-2001) with every problem's line."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise refuse([Problem((), 0, f"the file is larger than {MAX_BYTES} bytes")])
    try:
        _refuse_aliases(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        raise refuse([Problem((), line, f"this is no YAML: {error.problem or error.context}")]) from error
    except yaml.YAMLError as error:
        raise refuse([Problem((), 0, f"this is no YAML: {error}")]) from error
    if root is None:
        raise refuse([Problem((), 1, "the file is empty")])
    reader = _Reader()
    data = reader.value(root, ())
    if reader.problems:
        raise refuse(reader.problems)
    return Document(data, reader.lines)


def _refuse_aliases(text: str) -> None:
    """Refuse aliases, anchors and deep nesting on the flat stream of events, before anything is built from it."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise refuse([Problem((), line, "aliases and anchors (& and *) are not allowed; write the value out")])
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise refuse([Problem((), line, f"nested deeper than {MAX_DEPTH} levels")])
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


class _Reader:
    """Turns nodes into values, noting lines and problems."""

    def __init__(self) -> None:
        self.lines: dict[Path, int] = {}
        self.problems: list[Problem] = []

    def value(self, node: yaml.Node, path: Path) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*path, index)) for index, child in enumerate(node.value)]
        return self._scalar(node, path, line)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != _STRING:
                self.problems.append(Problem(path, line, "a key must be plain text"))
                continue
            key = key_node.value
            here = (*path, key)
            if key in found:
                self.problems.append(Problem(here, line, f"{dotted(here)} is given twice"))
                continue
            self.lines[here] = line
            found[key] = self.value(value_node, here)
        return found

    def _scalar(self, node: yaml.Node, path: Path, line: int) -> Any:
        text = str(node.value)
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        if kind == "str" or (kind == "int" and _HEX.match(text)):
            return text
        if kind == "int" and _DECIMAL.match(text) and len(text) < 20:
            return int(text)
        if kind == "bool" and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if kind == "null":
            return None
        self.problems.append(Problem(path, line, f"{dotted(path)} is {text[:80]!r}, a YAML {kind}; put it in quotes"))
        return None
