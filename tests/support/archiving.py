"""The way of one database into an archive and back, for tests of what comes through it."""

from pathlib import Path

from dbroster.archive import MANIFEST, PARTIAL, Archive, read_archive
from dbroster.engines.base import Handler
from dbroster.model.connection import Connection, Removals
from dbroster.model.plan import Action
from dbroster.model.roster import User
from dbroster.passwords.secret import Secret


def archiving(connection: Connection, directory: Path) -> Connection:
    """The same connection, with archives below a directory."""
    return connection._replace(removals=Removals(archive_dir=directory / "archives"))


def archive(handler: Handler, user: str, database: str) -> Archive:
    """Archive a database and return the newest archive of it."""
    handler.archive_database(user, database)
    base = handler.connection.removals.archive_dir
    assert base
    found = [path for path in base.rglob(f"{database}-*") if path.suffix not in (MANIFEST, PARTIAL)]
    return read_archive(max(found))


def there_and_back(handler: Handler, user: str, password: str, database: str) -> Archive:
    """Archive a database, drop it, create it again for its user, and restore it."""
    made = archive(handler, user, database)
    handler.drop_database(user, database)
    for verb in handler.creation_order:
        handler.perform(Action(verb, user, database))
    receiver = User(user, Secret(password), 1)
    assert handler.archiver().is_empty(receiver, database)
    handler.archiver().restore(made, receiver, database)
    return made
