"""For every test: properties have no time limit of their own, for CI shares its machine; pytest's own limit remains.
And ledgers to test on, of every kind that we support."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.databases import KINDS, Databases

settings.register_profile("shared-machine", deadline=None, print_blob=True)
settings.load_profile("shared-machine")


IN_TURN = ("api", "intake", "observability", "projects", "webhooks")
"""Rooms above the ledger, where the databases differ by nothing but what tests/ledger and tests/dispatch run on both."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--ledger sqlite` runs what is run on each kind of database on one only."""
    words = "databases to test on; spread, the default, takes them in turn where a second one shows nothing new"
    parser.addoption("--ledger", choices=("spread", "both", *KINDS), default="spread", help=words)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what `--ledger` leaves out."""
    option = config.getoption("--ledger")
    turns = _turns(items) if option == "spread" else {}
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        kind = _kind(item)
        wanted = option if option in KINDS else turns.get(item.nodeid, kind)
        (kept if kind in (None, wanted) else left_out).append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=left_out)


def _turns(items: list[pytest.Item]) -> dict[str, str]:
    """The one database of each test that needs only one: with a chain beside it, anvil goes with SQLite and our own
    chain with PostgreSQL; in the rooms of `IN_TURN` every second test has the other."""
    found: dict[str, str] = {}
    seen: dict[str, int] = {}
    for item in items:
        if (kind := _kind(item)) is None:
            continue
        chain = item.callspec.params.get("node")  # type: ignore[attr-defined]
        if chain is not None:
            found[item.nodeid] = KINDS[chain != "anvil"]
        elif item.path.parent.name in IN_TURN:
            found[item.nodeid] = KINDS[seen.setdefault(item.nodeid.replace(kind, ""), len(seen)) % 2]
    return found


def _kind(item: pytest.Item) -> str | None:
    callspec = getattr(item, "callspec", None)
    return None if callspec is None else callspec.params.get("ledger_url")


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """Makes fresh ledgers; its PostgreSQL server is one a test session."""
    made = Databases(tmp_path_factory.mktemp("databases"))
    yield made
    made.close()


@pytest.fixture
def postgresql_url(databases: Databases) -> Iterator[str]:
    """The URL of a migrated, empty ledger on PostgreSQL, for tests of what only PostgreSQL has."""
    url = databases.postgresql()
    yield url
    databases.drop(url)


@pytest.fixture(params=KINDS)
def ledger_url(request: pytest.FixtureRequest, databases: Databases, tmp_path: Path) -> str:
    """The URL of a migrated, empty ledger: each test that uses it runs once on each kind of database."""
    if request.param == "sqlite":
        return databases.sqlite(tmp_path / "ledger.db")
    found: str = request.getfixturevalue("postgresql_url")
    return found
