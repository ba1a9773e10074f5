"""Merkle-Patricia tries (Ethereum Yellow Paper, appendix D): roots, proofs of inclusion, and their check.

Blocks commit to their transactions and receipts by such a trie: key = RLP of the position, value = the EIP-2718 bytes.
A node is [path, value] (leaf or extension, hex-prefix encoded) or 17 items (branch); a node whose RLP is shorter than
32 bytes stands inside its parent, any other one is named by its keccak256.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eth_hash.auto import keccak

from verifier.errors import Refused
from verifier.evidence import rlp
from verifier.evidence.rlp import Item

EMPTY_ROOT = keccak(rlp.encode(b""))
"""Root of a trie without a value."""
MAX_NODES = 64
"""Nodes of one proof: a key of 32 bytes passes 64 branches at most."""
_BRANCH = 17

Nibbles = tuple[int, ...]


def position_key(position: int) -> bytes:
    """The key of a transaction or receipt at a position of its block."""
    return rlp.encode(rlp.encode_int(position))


def _nibbles(key: bytes) -> Nibbles:
    return tuple(nibble for byte in key for nibble in (byte >> 4, byte & 15))


def _hex_prefix(path: Nibbles, leaf: bool) -> bytes:
    flags = (2 if leaf else 0) + len(path) % 2
    full = (flags, *path) if len(path) % 2 else (flags, 0, *path)
    return bytes(full[i] << 4 | full[i + 1] for i in range(0, len(full), 2))


def _read_path(item: Item) -> tuple[Nibbles, bool]:
    """The nibbles of a hex-prefixed path, and whether a leaf has it."""
    written = rlp.to_bytes(item)
    nibbles = _nibbles(written)
    if not nibbles or nibbles[0] > 3 or (nibbles[0] % 2 == 0 and nibbles[1] != 0):
        raise Refused("W3B-9003", f"0x{written.hex()[:80]} is no hex-prefixed path", field="proof")
    return nibbles[2 - nibbles[0] % 2 :], nibbles[0] >= 2


class Trie:
    """The trie over `values` (key to value, no value empty); it holds every node, so keep it to one block's items."""

    def __init__(self, values: Mapping[bytes, bytes]) -> None:
        self._nodes: dict[bytes, bytes] = {}
        if not values:
            self.root = EMPTY_ROOT
            return
        top = rlp.encode(self._build(sorted((_nibbles(key), value) for key, value in values.items()), 0))
        self.root = keccak(top)
        """32 bytes."""
        self._nodes[self.root] = top

    def _build(self, items: Sequence[tuple[Nibbles, bytes]], depth: int) -> list[Item]:
        """The node over sorted items that share their first `depth` nibbles."""
        first, last = items[0][0], items[-1][0]
        if len(items) == 1:
            return [_hex_prefix(first[depth:], leaf=True), items[0][1]]
        shared = depth
        while shared < min(len(first), len(last)) and first[shared] == last[shared]:
            shared += 1
        if shared > depth:
            return [_hex_prefix(first[depth:shared], leaf=False), self._reference(self._build(items, shared))]
        own = items[0][1] if len(first) == depth else b""
        rest = items[1:] if own else items
        children: list[Item] = []
        for nibble in range(16):
            under = [each for each in rest if each[0][depth] == nibble]
            children.append(self._reference(self._build(under, depth + 1)) if under else b"")
        return [*children, own]

    def _reference(self, node: list[Item]) -> Item:
        written = rlp.encode(node)
        if len(written) < 32:
            return node
        name = keccak(written)
        self._nodes[name] = written
        return name

    def prove(self, key: bytes) -> list[bytes]:
        """The nodes from the root to the key's value, RLP each, without those that stand inside their parent.

        Raises KeyError where the trie has no such key.
        """
        proof, path = [], _nibbles(key)
        name: Item = self.root
        while True:
            if isinstance(name, bytes):
                proof.append(self._nodes[name])
            step = _descend(rlp.decode(proof[-1]) if isinstance(name, bytes) else name, path)
            if step is None:
                raise KeyError(key)
            if step.ended:
                return proof
            name, path = step.item, step.rest


@dataclass(frozen=True)
class _Step:
    """What a node has for a path: the value when the path ended, else the next node or its name."""

    ended: bool
    item: Item
    rest: Nibbles


def _descend(node: Item, path: Nibbles) -> _Step | None:
    """One step; None where the node has nothing for the path. Raises Refused (W3B-9003) for what is no node."""
    items = rlp.to_list(node)
    if len(items) == _BRANCH:
        found = items[path[0]] if path else items[16]
        return _Step(not path, found, path[1:]) if found else None
    if len(items) != 2:
        raise Refused("W3B-9003", f"a trie node has 2 or {_BRANCH} items, not {len(items)}", field="proof")
    own, leaf = _read_path(items[0])
    if leaf:
        return _Step(True, items[1], ()) if own == path else None
    if not own or path[: len(own)] != own:
        return None
    return _Step(False, items[1], path[len(own) :])


def verify_inclusion(root: bytes, key: bytes, proof: Sequence[bytes]) -> bytes:
    """The value that the trie with `root` (32 bytes) has under `key`.

    `proof` holds exactly what `Trie.prove` gives: every node that is named by a hash, from the root down, and no other.
    Raises Refused (W3B-9003) where it shows anything else, be it that the trie has no such key.
    """
    if not 1 <= len(proof) <= MAX_NODES:
        raise Refused("W3B-9003", f"a proof has 1 to {MAX_NODES} nodes, not {len(proof)}", field="proof")
    waiting, path = list(reversed(proof)), _nibbles(key)
    name: Item = root
    while True:
        step = _descend(_open(name, waiting), path)
        if step is None:
            raise Refused("W3B-9003", f"the trie has no key 0x{key.hex()}", field="proof")
        if step.ended:
            break
        name, path = step.item, step.rest
    if waiting:
        raise Refused("W3B-9003", f"{len(waiting)} nodes of the proof are not on the way to the key", field="proof")
    value = rlp.to_bytes(step.item)
    if not value:
        raise Refused("W3B-9003", f"the trie has an empty value under 0x{key.hex()}", field="proof")
    return value


def _open(name: Item, waiting: list[bytes]) -> Item:
    """The node of a name, taken from the proof, or the node itself where it stands inside its parent."""
    if isinstance(name, list):
        if len(rlp.encode(name)) >= 32:
            raise Refused("W3B-9003", "a node of 32 bytes or more stands inside its parent", field="proof")
        return name
    if len(name) != 32:
        raise Refused("W3B-9003", f"0x{name.hex()[:80]} names no node", field="proof")
    if not waiting:
        raise Refused("W3B-9003", f"the proof ends before node 0x{name.hex()}", field="proof")
    written = waiting.pop()
    if keccak(written) != name:
        raise Refused("W3B-9003", f"a node of the proof hashes to 0x{keccak(written).hex()}, not 0x{name.hex()}")
    return rlp.decode(written)
