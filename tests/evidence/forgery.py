"""Test only: a forger with time on their hands, who rebuilds tries, headers and links around a changed receipt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from verifier.evidence import rlp
from verifier.evidence.blocks import Header
from verifier.evidence.document import Document
from verifier.evidence.trie import Trie, position_key, verify_inclusion

RECEIPTS_ROOT, TRANSACTIONS_ROOT, PARENT = 5, 4, 0
STATUS, LOGS = 0, 3
Fields = list[Any]


def edit_item(encoded: bytes, edit: Callable[[Fields], None]) -> bytes:
    """A typed receipt or transaction with its fields edited."""
    fields: Any = rlp.decode(encoded[1:])
    edit(fields)
    return encoded[:1] + rlp.encode(fields)


def forge(
    document: Document, index: int, part: str, edit: Callable[[Fields], None], *, headers: bool = True
) -> Document:
    """The document with the receipt (or transaction) of a transaction edited, its trie rebuilt and, unless `headers`
    is False, its block's header and every later linked one made to match."""
    target = document.transactions[index]
    header = Header.decode(document.headers[target.header])
    root = header.receipts_root if part == "receipt" else header.transactions_root
    value = verify_inclusion(root, position_key(target.position), getattr(target, part))
    assert target.position == 0, "the forger knows single-transaction blocks only"
    trie = Trie({position_key(0): edit_item(value, edit)})
    changed = replace(target, **{part: tuple(trie.prove(position_key(0)))})
    transactions = [changed if at == index else each for at, each in enumerate(document.transactions)]
    forged = replace(document, transactions=tuple(transactions))
    field = RECEIPTS_ROOT if part == "receipt" else TRANSACTIONS_ROOT
    return reroot(forged, target.header, field, trie.root) if headers else forged


def unsigned(document: Document) -> Document:
    """The document without the delegates' signatures, which no forger has: it claims a server's word instead."""
    return replace(document, finality=None, finality_source="rpc-finalized")


def reroot(document: Document, at: int, field: int, value: bytes) -> Document:
    """The document with a header's field changed and the parent hashes after it made to match."""
    document = unsigned(document)
    headers = list(document.headers)
    fields: Any = rlp.decode(headers[at])
    fields[field] = value
    headers[at] = rlp.encode(fields)
    for later in range(at + 1, len(headers)):
        before, after = Header.decode(headers[later - 1]), Header.decode(headers[later])
        if after.number == before.number + 1:
            fields = rlp.decode(headers[later])
            fields[PARENT] = before.hash
            headers[later] = rlp.encode(fields)
    return replace(document, headers=tuple(headers))
