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


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--ledger sqlite` runs what is run on each kind of database on one only."""
    parser.addoption("--ledger", choices=("both", *KINDS), default="both", help="databases to test on")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what `--ledger` leaves out."""
    wanted = config.getoption("--ledger")
    if wanted != "both":
        left_out = [item for item in items if _kind(item) not in (None, wanted)]
        items[:] = [item for item in items if _kind(item) in (None, wanted)]
        config.hook.pytest_deselected(items=left_out)


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
