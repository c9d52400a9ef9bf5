"""Queries of CloudWatch Logs Insights, as far as a dashboard's widgets use them, answered by SQLite.

Amazon CloudWatch Logs User Guide, "Supported commands" and "Supported operations and functions".
"""

from __future__ import annotations

import json
import math
import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_UNITS = {"m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class Answer:
    """The columns of an answer and its rows."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def ask(query: str, log: Sequence[Mapping[str, Any]], begin: float = -math.inf, end: float = math.inf) -> Answer:
    """Answer a query, without its SOURCE, from what was logged between two times, in epoch seconds.

    Raises ValueError for what it does not know: a command, a function, a field. A field that no record of the whole log
    has would be empty on AWS; here it is a mistake.
    """
    with closing(sqlite3.connect(":memory:")) as database:
        database.create_function("ispresent", 1, lambda value: value is not None, deterministic=True)
        database.create_function("bin", 2, lambda at, seconds: at - at % seconds, deterministic=True)
        try:
            _fill(database, log)
            cursor = database.execute(_sql(query), {"begin": begin, "end": end})
        except sqlite3.Error as error:
            raise ValueError(f"this reader of queries cannot answer {query!r}: {error}") from error
        return Answer(tuple(re.sub("^at_", "@", name) for name, *_ in cursor.description), cursor.fetchall())


def _fill(database: sqlite3.Connection, log: Sequence[Mapping[str, Any]]) -> None:
    fields = list(dict.fromkeys(field for record in log for field in record))
    columns = ", ".join(f'"{_column(field)}"' for field in fields)
    database.execute(f"CREATE TABLE log ({columns})")
    marks = ", ".join("?" * len(fields))
    database.executemany(
        f"INSERT INTO log VALUES ({marks})",  # noqa: S608  marks
        [tuple(_value(record.get(field)) for field in fields) for record in log],
    )


def _column(field: str) -> str:
    return re.sub("^@", "at_", field)


def _value(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict) else value


def _sql(query: str) -> str:
    """Translate: what Insights does command by command, SQL says in one sentence."""
    conditions = ["at_timestamp >= :begin", "at_timestamp < :end"]
    chosen, groups, order, limit = "*", "", "", ""
    for command, words in _commands(query):
        match command:
            case "filter":
                conditions.append(f"({_expression(words)})")
            case "fields":
                chosen = _expression(words)
            case "stats":
                chosen, _, groups = _expression(words).partition(" by ")
                chosen = f"{groups}, {chosen}" if groups else chosen
            case "sort":
                order = f" ORDER BY {_expression(words)}"
            case "limit":
                limit = f" LIMIT {int(words)}"
            case _:
                raise ValueError(f"this reader of queries does not know {command}")
    by = f" GROUP BY {groups}" if groups else ""
    return f"SELECT {chosen} FROM log WHERE {' AND '.join(conditions)}{by}{order}{limit}"  # noqa: S608  a template's


def _commands(query: str) -> Iterable[tuple[str, str]]:
    for part in query.split("|"):
        command, _, words = part.strip().partition(" ")
        yield command, words


def _bin(found: re.Match[str]) -> str:
    return f"bin(at_timestamp, {int(found[1]) * _UNITS[found[2]]})"


def _expression(text: str) -> str:
    text = re.sub(r"\bbin\((\d+)([mhd])\)", _bin, text)
    # The largest value is the latest of times, and the only thing that is asked for the latest of.
    text = text.replace("latest(@timestamp)", "max(@timestamp)")
    return text.replace("@", "at_").replace("[", "(").replace("]", ")")
