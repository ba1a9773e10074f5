"""What the reader vouches for: chain, contracts, blocks, programs' set-ups, sources of finality.

In comes a trust file (YAML or JSON) and, if the reader asks a node of their own, block hashes; out go the anchors of a
document, each pinned or not. An anchor that differs from what the reader vouches for is refused, never just listed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from verifier.errors import InvalidInput, Refused
from verifier.evidence.blocks import Header
from verifier.evidence.chain_checks import Recorded
from verifier.evidence.document import Document
from verifier.evidence.report import Anchor, Checks

POLICY = "W3B-9008"
DEVELOPMENT = "development"
"""Set-up of a key that one installation made for itself: whoever keeps its toxic waste can forge proofs."""
MAX_TRUST_BYTES = 1 << 20
FROM_FILE = "taken from the file, not pinned"
BlockHash = Callable[[int], bytes | None]
"""Hash of a block by number on the reader's own node; None where it has no such block."""
_FINALITY = {
    "": "nobody says that the settlement's block is final",
    "single-producer": "one producer makes all blocks and says that this one is final",
    "rpc-finalized": "the chain's own `finalized` tag, as the service's RPC server told it",
    "rpc-depth": "so many blocks were on top of it as the service's operator finds enough",
    "bls": "the file says that the chain's delegates signed it, and holds no signature of theirs",
}
_NOT_PRODUCTION = ("", "single-producer", "bls")
"""Nobody's word, one producer's, and what could be checked but is not in the file: nobody need take that on trust."""
SIGNED = "signed by the chain's delegates, from the genesis on"


def _hex_of(length: int) -> Any:
    def read(value: Any) -> bytes:
        text = value if isinstance(value, str) else ""
        try:
            data = bytes.fromhex(text.removeprefix("0x"))
        except ValueError:
            data = b""
        if len(data) != length:
            raise ValueError(f"not 0x and {2 * length} hex digits, in quotes")
        return data

    return BeforeValidator(read)


Hash = Annotated[bytes, _hex_of(32)]
Address = Annotated[bytes, _hex_of(20)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class TrustedContracts(_Part):
    """Where the contracts are."""

    registry: Address
    fleet: Address
    router: Address


class TrustedProgram(_Part):
    """A program whose verifying key the reader accepts."""

    program_id: Hash
    """It commits to the key."""
    name: str
    """Its name in project files."""
    set_up: str = DEVELOPMENT
    """Which ceremony made the key; `development` where one installation did."""


class TrustedProject(_Part):
    """A project version whose owner and devices the reader knows."""

    id: int
    version: int
    device_set_root: Hash


class Trust(_Part):
    """A trust file."""

    chain_id: int | None = None
    genesis: Hash | None = None
    contracts: TrustedContracts | None = None
    checkpoints: tuple[Hash, ...] = ()
    """Hashes of blocks that are the chain's, for sure: each pins itself and its ancestors in a file that holds it."""
    required_checkpoints: tuple[Hash, ...] = ()
    """Likewise, and a file that does not hold each of them is refused."""
    finality_sources: tuple[str, ...] | None = None
    delegates: str = DEVELOPMENT
    """Who holds the keys of the genesis' delegates; `development` where one process holds them all."""
    programs: tuple[TrustedProgram, ...] = ()
    projects: tuple[TrustedProject, ...] = ()
    unchecked_kinds: tuple[str, ...] = ()
    """Proof kinds without a verifier here, for which the contract's word is enough."""
    require_production: bool = False
    """Refuse anything that is not pinned, and development or simulated anchors even when they are."""

    def with_checkpoints(self, hashes: Sequence[bytes]) -> Trust:
        """This, and more required checkpoints."""
        return self.model_copy(update={"required_checkpoints": (*self.required_checkpoints, *hashes)})


def read_trust(text: str) -> Trust:
    """The trust file of a text, YAML or JSON. Raises InvalidInput (W3B-9009)."""
    if len(text) > MAX_TRUST_BYTES:
        raise InvalidInput("W3B-9009", f"a trust file of {len(text)} characters", field="trust")
    try:
        return Trust.model_validate(yaml.safe_load(text) or {}, strict=False)
    except (yaml.YAMLError, RecursionError) as error:
        raise InvalidInput("W3B-9009", f"not YAML: {str(error)[:300]}", field="trust") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidInput("W3B-9009", f"{where or 'the file'}: {first['msg']}", field=where) from error


@dataclass
class _Judge:
    """Collects a document's anchors against a trust file."""

    document: Document
    recorded: Recorded
    trust: Trust
    anchors: list[Anchor] = field(default_factory=list)

    def judge(self, name: str, value: str, meaning: str, *, expected: str | None) -> None:
        """An anchor with the value that the reader expects, or None where they expect none."""
        if expected is not None and value != expected:
            raise Refused(POLICY, f"{name} is {value}, your trust names {expected}", field=name)
        pinned = expected is not None
        self.anchors.append(Anchor(name, value, meaning, "your trust file or node" if pinned else FROM_FILE, pinned))


def find_anchors(
    document: Document,
    recorded: Recorded,
    unchecked: Sequence[str],
    trust: Trust,
    *,
    checks: Checks,
    block_hash: BlockHash | None = None,
) -> tuple[Anchor, ...]:
    """Every anchor of a document whose checks held.

    Raises Refused (W3B-9008): an anchor differs from the trust file or the reader's node, or is not good enough for
    `require_production`.
    """
    with checks.checking("trust", "no anchor contradicts what you vouch for"):
        judge = _Judge(document, recorded, trust)
        _chain(judge, block_hash)
        _contracts(judge)
        _blocks(judge, block_hash)
        _finality(judge)
        _programs(judge, unchecked)
        _project(judge)
        if trust.require_production:
            for each in judge.anchors:
                if not each.pinned or not each.production:
                    why = "is not pinned" if not each.pinned else "is a development or simulated one"
                    raise Refused(POLICY, f"{each.name} ({each.value}) {why}", field=each.name)
    return tuple(judge.anchors)


def _shown(value: bytes | None) -> str | None:
    return None if value is None else "0x" + value.hex()


def _chain(judge: _Judge, block_hash: BlockHash | None) -> None:
    chain, trust = judge.document.chain, judge.trust
    expected = None if trust.chain_id is None else str(trust.chain_id)
    judge.judge("chain id", str(chain.chain_id), "the chain on which the result counts", expected=expected)
    genesis, trusted = "0x" + chain.genesis.hex(), _shown(trust.genesis)
    if trusted is None and block_hash is not None:
        trusted = _shown(block_hash(0))
    judge.judge("genesis", genesis, "the chain's first block: which of the chains with this id", expected=trusted)


def _contracts(judge: _Judge) -> None:
    meanings = {
        "registry": "ProjectRegistry: its word on versions, device sets and programs",
        "fleet": "FleetManagement: its word on tasks and assignments",
        "router": "Router: its word on accepted proofs; the Statement's verifyingContract",
    }
    for name, meaning in meanings.items():
        trusted = judge.trust.contracts
        expected = None if trusted is None else _shown(getattr(trusted, name))
        judge.judge(name, "0x" + getattr(judge.document.chain, name).hex(), meaning, expected=expected)


def runs(headers: Sequence[Header]) -> list[list[Header]]:
    """Headers in runs of consecutive blocks, which their parent hashes link."""
    runs: list[list[Header]] = []
    for header in headers:
        if runs and runs[-1][-1].number + 1 == header.number:
            runs[-1].append(header)
        else:
            runs.append([header])
    return runs


def _blocks(judge: _Judge, block_hash: BlockHash | None) -> None:
    """One anchor a run: its last block pins the others. A checkpoint inside a run pins what is before it only."""
    required = judge.trust.required_checkpoints
    known = {*judge.trust.checkpoints, *required}
    signed = judge.document.finality is not None and any(
        each.name == "genesis" and each.pinned for each in judge.anchors
    )
    for run in runs(judge.recorded.headers):
        last = run[-1]
        origin = "your checkpoint" if last.hash in known else SIGNED if signed else ""
        if origin in ("", SIGNED) and block_hash is not None:
            found = block_hash(last.number)
            if found != last.hash:
                shown = "has no such block" if found is None else f"has 0x{found.hex()} there"
                raise Refused(POLICY, f"block {last.number} is 0x{last.hash.hex()}; your node {shown}", field="block")
            origin = "your own node"
        span = f"blocks {run[0].number} to {last.number}" if len(run) > 1 else f"block {last.number}"
        meaning = f"{span} of the file belong to the chain"
        judge.anchors.append(
            Anchor(f"block {last.number}", "0x" + last.hash.hex(), meaning, origin or FROM_FILE, bool(origin))
        )
    for each in set(required) - {header.hash for header in judge.recorded.headers}:
        raise Refused(POLICY, f"the file does not hold your checkpoint 0x{each.hex()}", field="checkpoint")


def _finality(judge: _Judge) -> None:
    source, allowed = judge.document.finality_source, judge.trust.finality_sources
    if allowed is not None and source not in allowed:
        raise Refused(
            POLICY, f"finality is by {source or 'nobody'!r}, your trust allows {list(allowed)}", field="finality"
        )
    pinned = allowed is not None
    origin = "your trust file allows it" if pinned else FROM_FILE
    meaning, good = _FINALITY[source], source not in _NOT_PRODUCTION
    if judge.document.finality is not None:
        holders = judge.trust.delegates
        meaning, good = (
            f"more than two thirds of the delegates' power signed; their keys: {holders}",
            holders != DEVELOPMENT,
        )
        if not pinned and any(each.name == "genesis" and each.pinned for each in judge.anchors):
            pinned, origin = True, SIGNED
    judge.anchors.append(Anchor("finality", source or "none", meaning, origin, pinned, good))


def _programs(judge: _Judge, unchecked: Sequence[str]) -> None:
    trusted = {each.program_id: each for each in judge.trust.programs}
    for proof in judge.document.proofs:
        name, value = f"set-up of {proof.kind}", f"0x{proof.program_id.hex()} ({proof.program})"
        known = trusted.get(proof.program_id)
        if known is None and trusted:
            raise Refused(POLICY, f"your trust names no program 0x{proof.program_id.hex()}", field=name)
        if known is not None and known.name != proof.program:
            raise Refused(POLICY, f"program {value}: your trust calls it {known.name!r}", field=name)
        if proof.kind in unchecked:
            verifier = "0x" + judge.recorded.programs[proof.kind][1].hex()
            pinned = proof.kind in judge.trust.unchecked_kinds and known is not None
            meaning = f"no verifier of {proof.kind} is here: the word of the contract {verifier} stands"
            origin = "your trust file accepts it" if pinned else FROM_FILE
            judge.anchors.append(Anchor(f"verifier of {proof.kind}", verifier, meaning, origin, pinned, False))
            continue
        words = "nobody says who made the key: treat it as a development key, whose maker can forge proofs"
        if known is not None:
            words = f"the key comes from: {known.set_up}"
            if known.set_up == DEVELOPMENT:
                words = "development key: the installation that made it could forge proofs"
        origin = FROM_FILE if known is None else "your trust file"
        good = known is not None and known.set_up != DEVELOPMENT
        judge.anchors.append(Anchor(name, value, words, origin, known is not None, good))


def _project(judge: _Judge) -> None:
    """The device set is the project owner's word, which the chain recorded; a reader may know it otherwise too."""
    task, root = judge.document.task, "0x" + judge.recorded.device_set_root.hex()
    anchor = Anchor(
        "device registry",
        root,
        f"the devices that the owner of project {task.project_id} published in version {task.version} are real ones",
        "the chain: ProjectRegistry's event",
        True,
    )
    for each in judge.trust.projects:
        if (each.id, each.version) == (task.project_id, task.version):
            if each.device_set_root != judge.recorded.device_set_root:
                expected = "0x" + each.device_set_root.hex()
                raise Refused(POLICY, f"the device set is {root}, your trust names {expected}", field=anchor.name)
            anchor = replace(anchor, origin="your trust file, and the chain")
    judge.anchors.append(anchor)


def trust_text(document: Document) -> str:
    """A trust file that pins the anchors of a document, all but its blocks: they are another file's tomorrow."""
    chain = document.chain
    fields = {
        "chain_id": chain.chain_id,
        "genesis": "0x" + chain.genesis.hex(),
        "contracts": {name: "0x" + getattr(chain, name).hex() for name in ("registry", "fleet", "router")},
        "finality_sources": [document.finality_source],
        "programs": [
            {"program_id": "0x" + each.program_id.hex(), "name": each.program, "set_up": DEVELOPMENT}
            for each in document.proofs
        ],
        "unchecked_kinds": [each.kind for each in document.proofs if not each.verifying_key],
    }
    return yaml.safe_dump(fields, sort_keys=False)
