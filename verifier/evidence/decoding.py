"""Reading an evidence file of any origin: strict, bounded, and in no other spelling than the canonical one.

A file whose bytes are not exactly what `Document.encode` writes for what was read is refused, so a document has one
digest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_abi.exceptions import DecodingError

from verifier.completeness import Completeness
from verifier.errors import InvalidInput
from verifier.evidence.document import (
    BLS,
    COMMITMENTS,
    FORMAT,
    MAX_BYTES,
    READING,
    SOURCES,
    SUBJECTS,
    TASK,
    ChainPart,
    DelegatePart,
    DevicePart,
    Document,
    EpochPart,
    FinalityPart,
    IncludedReading,
    ProofPart,
    TaskPart,
    TransactionPart,
)
from verifier.statement import OPENING_TYPES, Opening

MAX_ITEMS = 4096
"""Items of any list in it."""
MAX_DEPTH = 8
"""Levels of objects and lists; a document has five."""
MAX_TEXT = 256
"""Characters of any name in it."""
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
"""A JSON string, or a bracket outside of one (RFC 8259 §2, §7)."""


def _refuse(path: str, why: str) -> InvalidInput:
    return InvalidInput("W3B-9002", f"{path or 'the file'} {why}", field=path)


def decode(data: bytes) -> Document:
    """The document of a file's bytes. Raises InvalidInput (W3B-9002) that names the field."""
    if len(data) > MAX_BYTES:
        raise _refuse("", f"has {len(data)} bytes; at most {MAX_BYTES}")
    try:
        text = data.decode("ascii")
        _check_depth(text)
        root = json.loads(text, object_pairs_hook=_distinct, parse_float=_no_number, parse_constant=_no_number)
    except ValueError as error:
        raise _refuse("", f"is no JSON: {str(error)[:200]}") from error
    document = _document(_Object(root, ""))
    if document.encode() != data:
        raise _refuse("", "is not in canonical form (sorted keys, no spaces, lower-case hex)")
    return document


def _check_depth(text: str) -> None:
    """Raises ValueError for deep nesting: json itself would stop at Python's recursion limit only, which some libraries
    raise so far that the C stack ends first, and the process with it."""
    depth = 0
    for match in _TOKEN.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
        if depth > MAX_DEPTH:
            raise ValueError(f"it nests deeper than {MAX_DEPTH} levels")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text[:40]} is no integer")


class _Object:
    """A JSON object whose fields are taken one by one; what is left over at `close` is refused."""

    def __init__(self, value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise _refuse(path, "is no object")
        self._left = dict(value)
        self.path = path

    def _take(self, name: str) -> Any:
        if name not in self._left:
            raise _refuse(self.at(name), "is missing")
        return self._left.pop(name)

    def has(self, name: str) -> bool:
        """Whether the field is there and not taken yet."""
        return name in self._left

    def at(self, name: str) -> str:
        """The field's path."""
        return f"{self.path}.{name}" if self.path else name

    def close(self) -> None:
        """Refuse fields that nobody took."""
        for name in self._left:
            raise _refuse(self.at(ascii(name[:80])), "is unknown")

    def text(self, name: str) -> str:
        return _text(self._take(name), self.at(name))

    def data(self, name: str, length: int | None = None) -> bytes:
        return _data(self._take(name), self.at(name), length)

    def small(self, name: str) -> int:
        """A number below 2^32."""
        value = self._take(name)
        if type(value) is not int or not 0 <= value < 1 << 32:
            raise _refuse(self.at(name), "is no whole number below 2^32")
        return value

    def large(self, name: str, bits: int) -> int:
        """Decimal text of a number below 2^bits."""
        value = self.text(name)
        if not (value.isascii() and value.isdigit()) or len(value) > 78 or int(value) >> bits:
            raise _refuse(self.at(name), f"is no decimal number below 2^{bits}")
        return int(value)

    def inner(self, name: str) -> _Object:
        return _Object(self._take(name), self.at(name))

    def items(self, name: str) -> list[tuple[Any, str]]:
        """The items of a list with their paths."""
        value = self._take(name)
        if not isinstance(value, list) or len(value) > MAX_ITEMS:
            raise _refuse(self.at(name), f"is no list of at most {MAX_ITEMS} items")
        return [(item, f"{self.at(name)}[{at}]") for at, item in enumerate(value)]

    def data_list(self, name: str, length: int | None = None) -> tuple[bytes, ...]:
        return tuple(_data(item, path, length) for item, path in self.items(name))

    def parts(self, name: str, read: Callable[[_Object], Any]) -> tuple[Any, ...]:
        return tuple(_closed(_Object(item, path), read) for item, path in self.items(name))


def _text(value: Any, path: str) -> str:
    # Names are shown on terminals: nothing that moves a cursor or changes a title may be among them.
    if not isinstance(value, str) or len(value) > MAX_TEXT or not (value.isascii() and value.isprintable()):
        raise _refuse(path, f"is no text of at most {MAX_TEXT} printable ASCII characters")
    return value


def _data(value: Any, path: str, length: int | None) -> bytes:
    if not isinstance(value, str) or not value.startswith("0x"):
        raise _refuse(path, "is no 0x hex text")
    try:
        found = bytes.fromhex(value[2:])
    except ValueError as error:
        raise _refuse(path, "is no 0x hex text") from error
    if length is not None and len(found) != length:
        raise _refuse(path, f"has {len(found)} bytes, not {length}")
    return found


def _closed(part: _Object, read: Callable[[_Object], Any]) -> Any:
    found = read(part)
    part.close()
    return found


def _document(root: _Object) -> Document:
    if (name := root.text("format")) != FORMAT:
        raise InvalidInput("W3B-9011", f"format is {name!r}; this program reads {FORMAT!r}", field="format")
    subject = root.text("subject")
    if subject not in SUBJECTS:
        raise _refuse("subject", f"is {subject!r}; there are {list(SUBJECTS)}")
    source, finality = _closed(root.inner("finality"), _finality)
    document = Document(
        subject=subject,
        chain=_closed(root.inner("chain"), _chain),
        task=_closed(root.inner("task"), _task),
        proofs=root.parts("proofs", _proof),
        publication=root.small("publication"),
        record=root.small("record"),
        transactions=root.parts("transactions", _transaction),
        headers=root.data_list("headers"),
        finality_source=source,
        finality=finality,
        devices=root.parts("devices", _device) if subject != COMMITMENTS else (),
        readings=root.data_list("readings") if subject == TASK else (),
        reading=_closed(root.inner("reading"), _reading) if subject == READING else None,
    )
    root.close()
    return document


def _finality(part: _Object) -> tuple[str, FinalityPart | None]:
    source = part.text("source")
    if source not in SOURCES:
        raise _refuse("finality.source", f"is {source!r}; there are {list(SOURCES)}")
    if source != BLS or not part.has("genesis"):
        return source, None
    genesis, delegates = part.data("genesis"), part.parts("delegates", _delegate)
    rules = part.data("rules") if part.has("rules") else b""
    return source, FinalityPart(genesis, delegates, part.parts("epochs", _epoch), part.data_list("footers"), rules)


def _delegate(part: _Object) -> DelegatePart:
    return DelegatePart(part.data("address", 20), part.large("power", 256), part.data("key", 48))


def _epoch(part: _Object) -> EpochPart:
    return EpochPart(part.data("header"), part.data("footer"), part.parts("delegates", _delegate))


def _chain(part: _Object) -> ChainPart:
    registry, fleet, router = (part.data(name, 20) for name in ("registry", "fleet", "router"))
    return ChainPart(part.large("chain_id", 64), part.data("genesis", 32), registry, fleet, router)


def _opening(data: bytes, path: str) -> Opening:
    try:
        readings, devices, start, end, count, completeness = abi_decode(OPENING_TYPES, data)
    except (DecodingError, OverflowError) as error:
        raise _refuse(path, f"is no ABI encoding of an opening: {str(error)[:200]}") from error
    return Opening(readings, devices, start, end, count, Completeness(*completeness))


def _task(part: _Object) -> TaskPart:
    return TaskPart(
        id=part.data("id", 32),
        project_id=part.large("project_id", 64),
        version=part.small("version"),
        scheme=part.text("scheme"),
        opening=_opening(part.data("opening"), part.at("opening")),
        public_output=part.data("public_output"),
    )


def _proof(part: _Object) -> ProofPart:
    return ProofPart(
        kind=part.text("kind"),
        program=part.text("program"),
        program_id=part.data("program_id", 32),
        verifying_key=part.data("verifying_key"),
        prover=part.data("prover", 20),
        statement_digest=part.data("statement_digest", 32),
        proof=part.data("proof"),
        assignment=part.small("assignment"),
        settlement=part.small("settlement"),
    )


def _device(part: _Object) -> DevicePart:
    return DevicePart(
        part.small("index"),
        part.data("device", 20),
        part.small("key_type"),
        part.data("public_key", 64),
        part.data_list("path", 32),
    )


def _reading(part: _Object) -> IncludedReading:
    return IncludedReading(part.data("wire"), part.small("index"), part.data_list("path", 32))


def _transaction(part: _Object) -> TransactionPart:
    nodes: Sequence[tuple[bytes, ...]] = [part.data_list(name) for name in ("transaction", "receipt")]
    return TransactionPart(part.small("header"), part.small("position"), *nodes)
