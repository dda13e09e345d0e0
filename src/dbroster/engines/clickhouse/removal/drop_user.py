"""Dropping an account, also one that the server takes for the definer of views which are not there any more.

25.8 remembers the definer of each view, and forgets it only when a view of that name is dropped: not when the view was
renamed, replaced or detached, nor with its database. A view of that name that is made and dropped makes it forget.
"""

import re
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter

from dbroster.engines.clickhouse.markers import Marker
from dbroster.engines.clickhouse.session import HAS_DEPENDENTS, Session, bare, identifier, literal, unescaped
from dbroster.errors import OperationError

_VIEWS = re.compile(r"used as a definer in views \[(.*)\]", re.DOTALL)
_TEXT = re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL)
_NAME = r"(`(?:[^`\\]|\\.)*`|\w+)"
_VIEW = re.compile(rf"{_NAME}\.{_NAME} \([-0-9a-f]+\)", re.DOTALL)
_THERE = "SELECT 1 FROM system.databases WHERE name = {database}"


def drop_user(session: Session, user: str) -> None:
    """Drop an account. Raises ConnectError, OperationError."""
    statement = f"DROP USER IF EXISTS {identifier(user)}{session.accounts_on}"
    for _ in session.cluster.nodes if session.cluster else ("",):  # each may name others
        try:
            session.run(statement)
        except OperationError as error:
            gone = sorted(set(_gone(session, user, str(error))))
            if error.code != HAS_DEPENDENTS or not gone:
                raise
        else:
            return
        for database, views in groupby(gone, key=itemgetter(0)):
            _make_and_drop(session, str(Marker(session.roster, user, database)), database, [view for _, view in views])
    session.run(statement)


def _gone(session: Session, user: str, text: str) -> Iterator[tuple[str, str]]:
    """Views, their names quoted, in databases of the user that are not there any more."""
    listed = _VIEWS.search(text)
    for entry in _TEXT.findall(listed[1] if listed else ""):
        if found := _VIEW.fullmatch(unescaped(entry)):
            database = bare(found[1])
            if database.startswith(f"{user}_") and not session.union(_THERE, database=database):
                yield database, found[2]


def _make_and_drop(session: Session, marker: str, database: str, views: list[str]) -> None:
    """The marker lets the next run drop the database, should this one be killed in the middle."""
    name, on = identifier(database), session.databases_on
    session.run(f"CREATE DATABASE {name}{on} COMMENT {literal(marker)}")
    for view in views:
        session.run(f"CREATE VIEW {name}.{view}{on} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS SELECT 1")
    session.run(f"DROP DATABASE {name}{on or ' SYNC'}")
