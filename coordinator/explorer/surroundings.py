"""What the explorer is given of the other rooms."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from aiohttp import web

from coordinator.access.tokens import Tokens
from coordinator.api.program_outputs import OutputsOf, manifest_outputs
from coordinator.api.surroundings import ComponentStatus
from coordinator.explorer.chain_view import ChainView
from coordinator.explorer.live import Live
from coordinator.ledger.store import Ledger
from coordinator.settings import Settings


@dataclass(frozen=True)
class Surroundings:
    """The rooms around the explorer."""

    ledger: Ledger
    tokens: Tokens
    """Checks the tokens of DIDs."""
    settings: Settings
    chain: ChainView
    components: Callable[[], Awaitable[Sequence[ComponentStatus]]]
    """How each part of the service stands."""
    contracts: dict[str, str]
    """Contract name to address, EIP-55."""
    chain_id: int
    live: Live
    base_url: str
    """Where people reach the explorer, without a slash at the end."""
    outputs_of: OutputsOf = manifest_outputs
    """Names of a program's outputs."""


SURROUNDINGS = web.AppKey("surroundings", Surroundings)
