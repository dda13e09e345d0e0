"""Dropping a database with all that can be in the way of it."""

from collections.abc import Sequence

from dbroster.engines.mysql.access.grants import Rules
from dbroster.engines.mysql.removal import dependencies
from dbroster.engines.mysql.session import (
    FOREIGN_KEYS,
    LEFT_DIRECTORY,
    NOT_EMPTY_DIRECTORY,
    READ_ONLY_DATABASE,
    Session,
    identifier,
)
from dbroster.errors import OperationError


def drop_database(session: Session, rules: Rules, datadir: str, user: str, name: str) -> None:
    """Drop a user's database. Raises OperationError for files in its directory, and for foreign keys of others."""
    try:
        _drop(session, name)
    except OperationError as error:
        if error.code == NOT_EMPTY_DIRECTORY:
            raise _leftover(datadir, name, "its tables are gone") from None
        if error.code == READ_ONLY_DATABASE:
            session.run(f"ALTER DATABASE {identifier(name)} READ ONLY = 0", of_database=True)
            _drop(session, name)
        elif error.code in FOREIGN_KEYS:
            _drop_referenced(session, rules, user, name, error)
        else:
            raise
    else:
        # MySQL merely warns that the directory stays, where no database can be made any more
        if session.warned and LEFT_DIRECTORY in {row["Code"] for row in session.rows("SHOW WARNINGS")}:
            raise _leftover(datadir, name, "it is dropped, and can't be made again")


def _drop(session: Session, name: str) -> None:
    session.run(f"DROP DATABASE IF EXISTS {identifier(name)}", of_database=True, long=True)


def _leftover(datadir: str, name: str, what: str) -> OperationError:
    return OperationError(
        f"the directory of the database {name} has files in it that are not the server's ({what}); look at "
        f"{datadir}{name} on the server and remove it",
        NOT_EMPTY_DIRECTORY,
    )


def _drop_referenced(session: Session, rules: Rules, user: str, name: str, error: OperationError) -> None:
    """Drop what foreign keys of the same user's other databases refer to, and those keys; no others are broken."""
    rows = dependencies.referring(session, [name])
    others = sorted({f"{row['db']}.{row['name']}" for row in rows if not rules.belongs(user, row["db"])})
    if others or not rows:
        raise _referred(error, others)
    for row in rows:
        table = f"{identifier(row['db'])}.{identifier(row['name'])}"
        session.run(f"ALTER TABLE {table} DROP FOREIGN KEY {identifier(row['rule'])}", of_database=True)
    try:
        _drop(session, name)
    except OperationError as again:
        raise (_referred(again) if again.code in FOREIGN_KEYS else again) from None


def _referred(error: OperationError, others: Sequence[str] = ()) -> OperationError:
    which = ", ".join(others) or "which ones, the admin account can't see"
    return OperationError(f"{error}: {dependencies.KEYS.format(which)}", error.code)
