"""Test only: every way to change one thing of a JSON document, and the canonical bytes of the result."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

Path = tuple[Any, ...]
Mutation = tuple[str, bytes]


def canonical(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every text and number with its path."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, (*path, name))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from leaves(inner, (*path, at))
    else:
        yield path, value


def branches(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every object and list with its path."""
    if isinstance(value, dict | list):
        yield path, value
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from branches(inner, (*path, key))


def at(document: Any, path: Path) -> Any:
    for step in path:
        document = document[step]
    return document


def changed(document: Any, path: Path, change: Callable[[Any, Any], None]) -> Any:
    """A copy in which `change(parent, key)` was applied at the path."""
    fresh = copy.deepcopy(document)
    change(at(fresh, path[:-1]), path[-1])
    return fresh


def replaced(document: Any, path: Path, value: Any) -> Any:
    return changed(document, path, lambda parent, key: parent.__setitem__(key, value))


def _texts(text: str) -> Iterator[tuple[str, str]]:
    if not text.startswith("0x"):
        yield "another digit", text[:-1] + ("1" if text[-1:] != "1" else "2")
        yield "emptied", ""
        yield "longer", text + "0"
        return
    size = len(text)
    for name, place in (("first", 2), ("middle", 2 + (size - 2) // 2), ("last", size - 1)):
        if place < size and size > 2:
            yield f"{name} nibble flipped", text[:place] + f"{int(text[place], 16) ^ 1:x}" + text[place + 1 :]
    yield "one byte shorter", text[:-2] if size > 2 else "0x00"
    yield "one byte longer", text + "00"
    yield "emptied", "0x" if size > 2 else "0x0000"


def leaf_mutations(document: Any, other: Any) -> Iterator[Mutation]:
    """Every leaf flipped, cut, grown, emptied, and swapped with the same leaf of another document."""
    for path, value in leaves(document):
        if isinstance(value, str):
            candidates = list(_texts(value))
        else:
            candidates = [("plus one", value + 1), ("zero", 0), ("large", 2**32), ("text", str(value))]
        with contextlib.suppress(KeyError, IndexError, TypeError):  # the other file may have no such place
            candidates.append(("of another file", at(other, path)))
        for name, candidate in candidates:
            if candidate != value or type(candidate) is not type(value):
                yield f"{path}: {name}", canonical(replaced(document, path, candidate))


def branch_mutations(document: Any, other: Any) -> Iterator[Mutation]:
    """Every part dropped, doubled, swapped with its neighbour, and taken from another document."""
    for path, value in branches(document):
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        for key in keys:
            yield f"{(*path, key)}: dropped", canonical(changed(document, (*path, key), _drop))
        if isinstance(value, dict):
            yield f"{path}: one more field", canonical(changed(document, (*path, "zz"), _add))
            continue
        for key in keys:
            yield f"{(*path, key)}: doubled", canonical(changed(document, (*path, key), _double))
        for key in keys[:-1]:
            if value[key] != value[key + 1]:
                yield f"{(*path, key)}: swapped", canonical(changed(document, (*path, key), _swap))
    for key in document:
        if key in other and other[key] != document[key]:
            yield f"{key}: of another file", canonical(replaced(document, (key,), other[key]))


def _drop(parent: Any, key: Any) -> None:
    del parent[key]


def _add(parent: Any, key: Any) -> None:
    parent[key] = "0x"


def _double(parent: Any, key: Any) -> None:
    parent.insert(key, copy.deepcopy(parent[key]))


def _swap(parent: Any, key: Any) -> None:
    parent[key], parent[key + 1] = parent[key + 1], parent[key]
