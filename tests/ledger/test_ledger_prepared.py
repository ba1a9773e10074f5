"""Prepared statements give what SQLAlchemy gives: rows, counts and errors, the first time and every time after."""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import pytest
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    create_engine,
    delete,
    func,
    insert,
    or_,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.exc import IntegrityError, MultipleResultsFound, NoResultFound, OperationalError
from sqlalchemy.pool import StaticPool

from coordinator.ledger import prepared
from coordinator.ledger.prepared import PreparedConnection

METADATA = MetaData()
ITEM = Table(
    "item",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("count", Integer, default=7),
    Column("live", Boolean, default=False),
    Column("kinds", JSON),
    Column("wire", LargeBinary),
    Column("progress", Float, default=0.0),
    Column("made", Integer, default=lambda: 42),
)


class State(StrEnum):
    """Names as an enumeration has them."""

    FIRST = "one"
    SECOND = "two"


@pytest.fixture
def raw() -> Iterator[sqlite3.Connection]:
    """A database with the table, in autocommit mode as the ledger's connections are."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    yield connection
    connection.close()


@pytest.fixture
def both(raw: sqlite3.Connection) -> Iterator[tuple[PreparedConnection, Connection]]:
    """The prepared connection and SQLAlchemy's own, over one database."""
    engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
    with engine.connect() as full:
        METADATA.create_all(full)
        full.execute(insert(ITEM), [row(number) for number in range(5)])
        with PreparedConnection(raw, engine.connect) as quick:
            yield quick, full
    engine.dispose()


def row(number: int) -> dict[str, Any]:
    """A row with a value of every type."""
    return {
        "name": ("zero", "one", "two", "three", "four")[number],
        "count": number,
        "live": number % 2 == 1,
        "kinds": ["a", {"b": number}] if number else None,
        "wire": bytes([number, 255]) if number else None,
        "progress": number / 4,
        "made": number,
    }


def is_prepared(statement: Any, names: tuple[str, ...]) -> bool:
    """Whether it goes straight to the driver by now."""
    return bool(prepared._BOOK._seen.get(statement, {}).get(names))


SELECTS: list[tuple[str, Any, dict[str, Any]]] = [
    ("every type", select(ITEM).order_by(ITEM.c.id), {}),
    (
        "a list given",
        select(ITEM.c.id).where(ITEM.c.name.in_(bindparam("ids", expanding=True))),
        {"ids": ["one", "two"]},
    ),
    ("an empty list", select(ITEM.c.id).where(ITEM.c.name.in_(bindparam("ids", expanding=True))), {"ids": []}),
    (
        "not in an empty list",
        select(ITEM.c.id).where(ITEM.c.name.not_in(bindparam("ids", expanding=True))),
        {"ids": []},
    ),
    ("a list of constants", select(ITEM.c.name).where(ITEM.c.name.in_(list(State))).order_by(ITEM.c.id), {}),
    (
        "lists before and after",
        select(ITEM.c.name)
        .where(ITEM.c.count > bindparam("least"), ITEM.c.name.in_(bindparam("ids", expanding=True)))
        .where(or_(ITEM.c.name.in_(["two", "three"]), ITEM.c.count == bindparam("least")))
        .order_by(ITEM.c.id)
        .limit(bindparam("most", type_=Integer)),
        {"least": 0, "ids": ["one", "two", "three"], "most": 1},
    ),
    (
        "one name twice",
        select(ITEM.c.id).where((ITEM.c.id == bindparam("n")) | (ITEM.c.count == bindparam("n"))),
        {"n": 2},
    ),
    ("an aggregate", select(func.max(ITEM.c.count)), {}),
    ("a label", select(ITEM.c.count.label("much"), ITEM.c.live).where(ITEM.c.id == 2), {}),
    (
        "tuples, which SQLAlchemy runs",
        select(ITEM.c.id).where(tuple_(ITEM.c.id, ITEM.c.count).in_(bindparam("pairs", expanding=True))),
        {"pairs": [(1, 0), (2, 1)]},
    ),
]


@pytest.mark.parametrize(("statement", "parameters"), [each[1:] for each in SELECTS], ids=[each[0] for each in SELECTS])
def test_prepared_select(
    both: tuple[PreparedConnection, Connection], statement: Any, parameters: dict[str, Any]
) -> None:
    quick, full = both
    expected = [dict(each._mapping) for each in full.execute(statement, parameters)]
    for _ in range(3):
        assert [each._asdict() for each in quick.execute(statement, parameters)] == expected
    assert is_prepared(statement, tuple(parameters))
    assert list(quick.execute(statement, parameters).scalars()) == [next(iter(each.values())) for each in expected]
    assert [tuple(each) for each in quick.execute(statement, parameters)] == [tuple(each.values()) for each in expected]


def test_prepared_insert_fills_constant_defaults(both: tuple[PreparedConnection, Connection]) -> None:
    quick, full = both
    add = insert(ITEM).returning(ITEM.c.id, ITEM.c.name)
    quick.execute(add, {"name": "a", "made": 1})
    quick.execute(add, {"name": "b", "made": 1})
    made = quick.execute(add, [{"name": name, "made": 1} for name in "cde"])
    assert is_prepared(add, ("name", "made"))
    assert [each.name for each in made] == ["c", "d", "e"]
    rows = full.execute(select(ITEM).where(ITEM.c.id > 5).order_by(ITEM.c.id)).all()
    filled: list[Any] = [(name, 7, False, 0.0) for name in "abcde"]
    assert [(each.name, each.count, each.live, each.progress) for each in rows] == filled


def test_prepared_default_of_a_function_is_left_to_sqlalchemy(both: tuple[PreparedConnection, Connection]) -> None:
    quick, full = both
    add = insert(ITEM)
    for name in "abc":
        quick.execute(add, {"name": name})
    assert not is_prepared(add, ("name",))
    assert full.execute(select(ITEM.c.made).where(ITEM.c.id > 5)).scalars().all() == [42, 42, 42]


def test_prepared_update_and_delete_count(both: tuple[PreparedConnection, Connection]) -> None:
    quick, full = both
    move = (
        update(ITEM).where(ITEM.c.id == bindparam("b_id")).values(count=bindparam("v_count"), live=bindparam("v_live"))
    )
    wishes = [{"b_id": at, "v_count": 100 + at, "v_live": True} for at in (1, 2, 99)]
    for _ in range(3):
        assert quick.execute(move, wishes).rowcount == 2
        assert quick.execute(move, {"b_id": 99, "v_count": 1, "v_live": True}).rowcount == 0
    assert is_prepared(move, ("b_id", "v_count", "v_live"))
    assert full.execute(select(ITEM.c.count, ITEM.c.live).where(ITEM.c.id < 3)).all() == [(101, True), (102, True)]
    drop = delete(ITEM).where(ITEM.c.name == bindparam("named"))
    assert [quick.execute(drop, {"named": name}).rowcount for name in ("one", "two", "two")] == [1, 1, 0]


def test_prepared_names_are_told_apart(both: tuple[PreparedConnection, Connection]) -> None:
    """One INSERT with other columns is another statement."""
    quick, full = both
    add = insert(ITEM)
    for at in range(3):
        quick.execute(add, {"name": f"a{at}", "made": at})
        quick.execute(add, {"name": f"b{at}", "made": at, "count": 9})
    rows = full.execute(select(ITEM.c.name, ITEM.c.count).where(ITEM.c.id > 5)).all()
    assert rows == [each for at in range(3) for each in ((f"a{at}", 7), (f"b{at}", 9))]


def test_prepared_errors_are_sqlalchemys_and_hold_no_values(both: tuple[PreparedConnection, Connection]) -> None:
    quick, _ = both
    add = insert(ITEM)
    quick.execute(add, {"name": "secret", "made": 1})
    for _ in range(3):
        with pytest.raises(IntegrityError) as caught:
            quick.execute(add, {"name": "secret", "made": 1})
    assert is_prepared(add, ("name", "made"))
    assert isinstance(caught.value.orig, sqlite3.IntegrityError)
    assert "secret" not in str(caught.value)
    METADATA.drop_all(quick._sqlalchemy())
    query = select(ITEM.c.id)
    for _ in range(3):
        with pytest.raises(OperationalError):
            quick.execute(query)


def test_prepared_results_demand_what_was_asked(both: tuple[PreparedConnection, Connection]) -> None:
    quick, _ = both
    query = select(ITEM.c.id).where(ITEM.c.count >= bindparam("least")).order_by(ITEM.c.id)
    for _ in range(2):
        quick.execute(query, {"least": 0})
    assert quick.execute(query, {"least": 4}).scalar_one() == 5
    assert quick.execute(query, {"least": 4}).one() == (5,)
    assert quick.execute(query, {"least": 9}).scalar_one_or_none() is None
    assert quick.execute(query, {"least": 9}).scalar() is None
    assert quick.execute(query, {"least": 9}).scalars().first() is None
    with pytest.raises(NoResultFound):
        quick.execute(query, {"least": 9}).one()
    with pytest.raises(MultipleResultsFound):
        quick.execute(query, {"least": 0}).scalar_one()


def test_prepared_parameter_that_is_missing_is_refused(both: tuple[PreparedConnection, Connection]) -> None:
    quick, _ = both
    query = select(ITEM.c.id).where(ITEM.c.count == bindparam("much"))
    for _ in range(3):
        with pytest.raises(Exception, match="much"):
            quick.execute(query)


def test_prepared_text_is_left_to_sqlalchemy(both: tuple[PreparedConnection, Connection]) -> None:
    quick, _ = both
    query = text("select name, count from item where id = :id")
    for _ in range(3):
        assert quick.execute(query, {"id": 3}).all() == [("two", 2)]


def test_prepared_statements_end_with_their_owners(both: tuple[PreparedConnection, Connection]) -> None:
    """A statement built for one call is not kept: another at the same address must not be taken for it."""
    quick, _ = both
    before = len(prepared._BOOK._seen)
    for number in range(50):
        assert quick.execute(select(ITEM.c.id).where(ITEM.c.count == number % 5)).scalar_one() == number % 5 + 1
    gc.collect()
    assert len(prepared._BOOK._seen) <= before + 1
