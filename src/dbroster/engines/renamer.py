"""What dbroster asks of an engine for new names: `Renamer`, made by a handler for itself."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Protocol

from dbroster.engines.archiver import Archiver
from dbroster.errors import OperationError
from dbroster.model.connection import Connection
from dbroster.model.roster import User
from dbroster.passwords.secret import Secret


class Archiving(Protocol):
    """What a handler does with archives, and where it notes that."""

    connection: Connection
    notes: dict[str, str]
    archives: dict[str, Path]

    def archive_database(self, user: str, database: str) -> None:
        """Close a database and write an archive of it."""

    def archiver(self) -> Archiver:
        """What writes and reads archives."""


class Renamer:
    """Brings an account and its databases under other names: by archives, where an engine has no better way."""

    renames: ClassVar[bool] = False
    """Whether `rename` gives an account and all its databases other names, at once or not at all."""

    copies: ClassVar[bool] = True
    """Whether `move` leaves what is in the old database there: what broke off is dropped and made again."""

    def __init__(self, handler: Archiving) -> None:
        self._handler = handler

    def obstacles(self, user: str, databases: Sequence[str]) -> Iterator[str]:  # noqa: ARG002 - for engines
        """Say why these databases of a user can't get the name of another one, and what to do first."""
        if not databases:
            return
        if self._handler.connection.removals.archive_dir is None:
            yield "databases get another name by an archive: set removals: {archive_dir: DIR}"
            return
        archiver = self._handler.archiver()
        yield from archiver.missing()
        for database in databases:
            if losses := list(archiver.losses(database)):
                yield f"{database} can't be copied whole, since an archive does not hold {'; '.join(losses)}"

    def rename(self, user: str, new: str, password: Secret) -> None:
        """Give a managed account and its databases new names and markers, and open it. Raises OperationError."""
        raise NotImplementedError

    def move(self, user: str, database: str, receiver: User, name: str) -> None:
        """Bring all that is in a locked user's database into the empty one of another user. Raises OperationError."""
        from dbroster.archive import read_archive  # archives are seldom made

        handler = self._handler
        handler.archive_database(user, database)
        if doubt := handler.notes.pop(database, None):
            raise OperationError(doubt)
        if (made := handler.archives.get(database)) is None:
            raise OperationError(f"{database} is not there any more, or was never finished")
        archive, archiver = read_archive(made), handler.archiver()
        if not archiver.is_empty(receiver, name):
            raise OperationError(f"{name} is not empty: nothing is ever restored over existing data")
        archiver.restore(archive, receiver, name)


def given_elsewhere(user: str, what: Sequence[str]) -> Iterator[str]:
    """Say what somebody else has given an account that another account would not have."""
    if what:
        text = f"{user} has what dbroster has not given, and the new account would not have: {'; '.join(what)}"
        yield f"{text}; take it away first, and give it to the new one afterwards"
