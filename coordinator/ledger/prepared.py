"""SQLAlchemy's statements on a raw sqlite3 connection, compiled once each.

To run a small statement through SQLAlchemy costs about ten times what SQLite needs for it. Here a statement that is run a
second time is compiled to its SQL text, its parameters' order and the conversions of its types, and from then on goes
straight to the driver. What this does not know (a statement built anew each time, a tuple in an IN list, a default made
by a function) runs through SQLAlchemy as ever, so results are the same in every case.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from enum import Enum
from operator import itemgetter
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Delete, Insert, SelectBase, Update
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError, MultipleResultsFound, NoResultFound

_DIALECT = sqlite.dialect(paramstyle="qmark")
_LIST = re.compile(r"__\[POSTCOMPILE_(\w+)\]")
"""Where SQLAlchemy leaves room for the values of an IN list."""
_CONSTANT_DEFAULT = "is_scalar"
Names = tuple[str, ...]
Parameters = Mapping[str, Any]


class _Unprepared(Exception):
    """SQLAlchemy itself is needed for this statement, or for these parameters."""


class _Statement:
    """A statement for one set of parameter names. Raises _Unprepared when it cannot be one."""

    def __init__(self, statement: Any, names: Names) -> None:
        if not isinstance(statement, Delete | Insert | SelectBase | Update):
            raise _Unprepared
        compiled: Any = statement.compile(dialect=_DIALECT, column_keys=list(names))
        if compiled.literal_execute_params or "~~" in compiled.string:
            raise _Unprepared
        self.pieces: list[str] = _LIST.split(compiled.string)
        self.lists = frozenset(self.pieces[1::2])
        self.order: Names = tuple(compiled.positiontup or ())
        given = set(names)
        self.constants = {
            name: _plain(value)
            for name, value in compiled.params.items()
            if name not in given and not compiled.binds[name].required
        }
        for column in (*getattr(compiled, "insert_prefetch", ()), *getattr(compiled, "update_prefetch", ())):
            default = column.default if column in compiled.insert_prefetch else column.onupdate
            if not getattr(default, _CONSTANT_DEFAULT, False):
                raise _Unprepared
            self.constants[column.key] = default.arg
        if not set(self.order) <= given | set(self.constants):
            raise _Unprepared
        self.binders: Mapping[str, Callable[[Any], Any]] = dict(compiled._bind_processors)
        self.row: Any = None
        self.readers: tuple[tuple[int, Callable[[Any], Any]], ...] = ()
        columns = compiled._result_columns
        if columns:
            self.row = namedtuple("Row", [column.keyname for column in columns], rename=True)  # type: ignore[misc]
            found = (column.type.dialect_impl(_DIALECT).result_processor(_DIALECT, None) for column in columns)
            self.readers = tuple((at, reader) for at, reader in enumerate(found) if reader is not None)

    def text(self, parameters: Parameters) -> str:
        """SQL with room for as many values as each list has."""
        if not self.lists:
            return self.pieces[0]
        pieces = list(self.pieces)
        for at in range(1, len(pieces), 2):
            pieces[at] = ", ".join("?" * len(self._value(parameters, pieces[at])))
        return "".join(pieces)

    def _value(self, parameters: Parameters, name: str) -> Any:
        return parameters[name] if name in parameters else self.constants[name]

    def values(self, parameters: Parameters) -> list[Any]:
        """The parameters in the order of the text."""
        bound: list[Any] = []
        for name in self.order:
            value = self._value(parameters, name)
            binder = self.binders.get(name)
            if name not in self.lists:
                bound.append(value if binder is None else binder(value))
                continue
            for each in value:
                if isinstance(each, tuple):
                    raise _Unprepared
                bound.append(each if binder is None else binder(each))
        return bound

    def many(self, parameters: Sequence[Parameters]) -> list[Any]:
        """`values` of each of many, for a statement without a list."""
        if len(self.order) < 2 or not self.constants.keys().isdisjoint(self.order):
            return [self.values(each) for each in parameters]
        pick = itemgetter(*self.order)
        binders = [(at, self.binders[name]) for at, name in enumerate(self.order) if name in self.binders]
        if not binders:
            return [pick(each) for each in parameters]
        picked = [list(pick(each)) for each in parameters]
        for row in picked:
            for at, binder in binders:
                row[at] = binder(row[at])
        return picked

    def rows(self, cursor: sqlite3.Cursor) -> list[Any]:
        """All rows, converted."""
        make = self.row._make
        if not self.readers:
            return [make(row) for row in cursor]
        rows = []
        for row in cursor:
            values = list(row)
            for at, reader in self.readers:
                values[at] = reader(values[at])
            rows.append(make(values))
        return rows


def _plain(value: Any) -> Any:
    """A constant without its enumeration: the driver looks long for a way to bind one."""
    if isinstance(value, Enum):
        return value.value
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


class _Scalars:
    """The first column of each row."""

    def __init__(self, values: list[Any]) -> None:
        self._values = values

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def all(self) -> list[Any]:
        """All of them."""
        return self._values

    def first(self) -> Any:
        """The first, or None."""
        return self._values[0] if self._values else None


class _Result:
    """What a statement gave, in the words of SQLAlchemy's `CursorResult` as far as this project uses them."""

    def __init__(self, rows: list[Any], rowcount: int) -> None:
        self._rows = rows
        self.rowcount = rowcount
        """Rows that were changed; -1 where the driver does not say."""

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)

    def all(self) -> list[Any]:
        """All rows."""
        return self._rows

    def first(self) -> Any:
        """The first row, or None."""
        return self._rows[0] if self._rows else None

    def one_or_none(self) -> Any:
        """The only row, or None. Raises MultipleResultsFound."""
        if len(self._rows) > 1:
            raise MultipleResultsFound("more than one row was found where one was required")
        return self.first()

    def one(self) -> Any:
        """The only row. Raises NoResultFound, MultipleResultsFound."""
        row = self.one_or_none()
        if row is None:
            raise NoResultFound("no row was found where one was required")
        return row

    def scalar(self) -> Any:
        """The first column of the first row, or None."""
        return self._rows[0][0] if self._rows else None

    def scalar_one(self) -> Any:
        """The first column of the only row. Raises NoResultFound, MultipleResultsFound."""
        return self.one()[0]

    def scalar_one_or_none(self) -> Any:
        """The first column of the only row, or None. Raises MultipleResultsFound."""
        row = self.one_or_none()
        return None if row is None else row[0]

    def scalars(self) -> _Scalars:
        """The first column of each row."""
        return _Scalars([row[0] for row in self._rows])


class _Book:
    """The statements that were seen; one is prepared when it is seen again, and forgotten when its owner is gone."""

    def __init__(self) -> None:
        self._seen: WeakKeyDictionary[Any, dict[Names, _Statement | None]] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def find(self, statement: Any, names: Names) -> _Statement:
        """The prepared statement. Raises _Unprepared."""
        known = self._seen.get(statement)
        found = None if known is None else known.get(names, known)
        if isinstance(found, _Statement):
            return found
        if found is None:
            if known is None:
                with self._lock:
                    self._seen.setdefault(statement, {})
            raise _Unprepared
        made = self._prepare(statement, names)
        with self._lock:
            found[names] = made
        if made is None:
            raise _Unprepared
        return made

    @staticmethod
    def _prepare(statement: Any, names: Names) -> _Statement | None:
        try:
            return _Statement(statement, names)
        except _Unprepared:
            return None


_BOOK = _Book()


class PreparedConnection:
    """Stands for a SQLAlchemy `Connection` over `raw`, in the thread that it belongs to and inside a transaction.

    Parameters: `fallback` gives the SQLAlchemy connection over the same `raw`, for what is not prepared.
    """

    def __init__(self, raw: sqlite3.Connection, fallback: Callable[[], AbstractContextManager[Connection]]) -> None:
        self._raw = raw
        self._open = fallback
        self._opened: AbstractContextManager[Connection] | None = None
        self._full: Connection | None = None

    def __enter__(self) -> PreparedConnection:
        return self

    def __exit__(self, *exception: Any) -> None:
        if self._opened is not None:
            self._opened.__exit__(*exception)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sqlalchemy(), name)

    def _sqlalchemy(self) -> Connection:
        if self._full is None:
            self._opened = self._open()
            self._full = self._opened.__enter__()
        return self._full

    def execute(self, statement: Any, parameters: Parameters | Sequence[Parameters] | None = None) -> Any:
        """As `Connection.execute`: one statement, once or for each of many parameters."""
        rows: Sequence[Parameters]
        rows = [parameters or {}] if parameters is None or isinstance(parameters, Mapping) else parameters or [{}]
        try:
            prepared = _BOOK.find(statement, tuple(rows[0]))
            return self._once(prepared, rows[0]) if len(rows) == 1 else self._many(prepared, rows)
        except _Unprepared:
            return self._sqlalchemy().execute(statement, parameters)

    def _once(self, prepared: _Statement, parameters: Parameters) -> _Result:
        text, values = prepared.text(parameters), prepared.values(parameters)
        try:
            cursor = self._raw.execute(text, values)
            rows = prepared.rows(cursor) if cursor.description is not None else []
        except sqlite3.Error as error:
            raise told(error, text) from error
        return _Result(rows, cursor.rowcount)

    def _many(self, prepared: _Statement, parameters: Sequence[Parameters]) -> _Result:
        if prepared.lists:
            raise _Unprepared
        values = prepared.many(parameters)
        text = prepared.pieces[0]
        try:
            if prepared.row is None:
                return _Result([], self._raw.executemany(text, values).rowcount)
            rows: list[Any] = []
            for each in values:  # the driver gives no rows back for many at once
                rows += prepared.rows(self._raw.execute(text, each))
        except sqlite3.Error as error:
            raise told(error, text) from error
        return _Result(rows, len(rows))


def told(error: sqlite3.Error, text: str) -> BaseException:
    """The driver's error at the statement `text` as SQLAlchemy tells it, without the parameters: they may hold what no
    log should."""
    return DBAPIError.instance(text, {}, error, sqlite3.Error, hide_parameters=True, dialect=_DIALECT)
