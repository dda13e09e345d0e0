"""Bringing one archive back: `Restore` checks that it may be, and does it as the user whose database it becomes.

What an archive holds was written by a user. It is brought back with that user's login, never with the admin's.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from dbroster.archive import Archive, read_archive
from dbroster.engines.base import Handler
from dbroster.errors import DbrosterError, OperationError, ServerError
from dbroster.model.plan import Action, Verb
from dbroster.model.result import Result
from dbroster.model.roster import User
from dbroster.model.state import ExistingUser, Lock
from dbroster.roster.validation import validate
from dbroster.run.server_run import ServerRun
from dbroster.run.steps import carry_out

_NEW = "to be restored into"


class Wish(NamedTuple):
    """What the command line asks for: an archive, a database other than its own, one of another user or roster."""

    archive: Path
    database: str | None = None
    from_another: bool = False


class Restore(ServerRun):
    """One archive, brought back to one server."""

    def __init__(self, *given: Any, wish: Wish, **more: Any) -> None:
        super().__init__(*given, **more)
        self.wish = wish

    def run(self) -> Result:
        """Create the database if it is not there, and bring the archive back; the result tells what was wrong."""
        result = self.blank()._replace(users=len(self.roster.users))
        try:
            archive = read_archive(self.wish.archive)
            database = self.wish.database or archive.manifest.database
            user = self._receiver(database)
            self._refuse_another(archive, user)
            with ExitStack() as stack:
                handler = self.reach(stack)
                with self.stage("restore"):
                    return self._run(result, handler, archive, user, database)
        except DbrosterError as error:
            return result._replace(fatal=str(error))

    def _refuse_without_archiver(self, handler: Handler) -> None:
        """An archive can only be brought back by what reads it here."""
        if missing := handler.archiver().missing():
            raise ServerError("nothing can be restored here:\n" + "\n".join(f"  {text}" for text in missing))

    def _run(self, result: Result, handler: Handler, archive: Archive, user: User, database: str) -> Result:
        server = handler.server()
        result = result._replace(product=server.product, host=server.host)
        user = self._validated(handler, user)
        if handler.fold_database(database) not in map(handler.fold_database, self.roster.databases(user.name)):
            raise self._no_database(database)
        if obstacle := handler.archiver().obstacle(archive.manifest.settings):
            raise ServerError(f"nothing was done: {obstacle}")
        steps = list(self._steps(handler, archive, user, database))

        def bring_back(action: Action) -> None:
            archiver = handler.archiver()
            if not archiver.is_empty(user, action.database or ""):
                raise OperationError(f"{action.database} is not empty: nothing is ever restored over existing data")
            archiver.restore(archive, user, action.database or "")

        return carry_out(self, result, handler, steps, {Verb.RESTORE_DATABASE: bring_back})

    # --- what may be restored to whom -------------------------------------------------------------------------------

    def _receiver(self, database: str) -> User:
        """Find the user whose database this is to be, by the roster."""
        names = {user.name: self.roster.databases(user.name) for user in self.roster.users.values()}
        found = [user for user, databases in names.items() if database in databases] or [
            user for user, databases in names.items() if database.lower() in map(str.lower, databases)
        ]  # the server has still to say whether it takes them for the same
        if len(found) == 1:
            return self.roster.users[found[0]]
        raise self._no_database(database)

    def _no_database(self, database: str) -> ServerError:
        return ServerError(
            f"{database} is no database of the roster: its user must have a good line in users.txt and its template a "
            "line in the list, or name another database with --database"
        )

    def _refuse_another(self, archive: Archive, user: User) -> None:
        manifest, connection = archive.manifest, self.connection
        if manifest.engine != connection.engine:
            raise ServerError(f"this is an archive of {manifest.engine}, not of {connection.engine}")
        ours = (user.name, connection.roster)
        if (manifest.user, manifest.roster) != ours and not self.wish.from_another:
            raise ServerError(
                f"this is an archive of user {manifest.user!r} of roster {manifest.roster!r}, and it would go to "
                f"{user.name!r} of {connection.roster!r}; if that is meant, say --from-another"
            )

    def _validated(self, handler: Handler, user: User) -> User:
        kept = validate(self.roster, self.connection, handler).users.get(user.name)
        existing = handler.get_existing_users().get(user.name)
        if kept is None:
            raise ServerError(f"the line of {user.name} in users.txt can't be used on this server; see `check`")
        if problem := _not_ready(user, existing):
            raise ServerError(problem)
        return kept

    # --- doing it ---------------------------------------------------------------------------------------------------

    def _steps(self, handler: Handler, archive: Archive, user: User, database: str) -> Iterator[Action]:
        """Plan in the words of a sync. Raises ServerError for a database that is not the user's."""
        existing = handler.get_existing_databases()
        found = existing.get(database) or existing.get(handler.fold_database(database))
        if found is not None and found.owner != user.name:
            raise ServerError(f"the database {database} exists and is not {user.name}'s; nothing was done")
        if found is None or not found.usable:
            yield from (Action(verb, user.name, database, reason=_NEW) for verb in handler.creation_order)
        elif not found.granted:
            yield Action(Verb.GRANT_PRIVILEGES, user.name, database, reason=_NEW)
        yield Action(Verb.RESTORE_DATABASE, user.name, database, reason=f"from {archive.path.name}")


def _not_ready(user: User, existing: ExistingUser | None) -> str | None:
    if existing is None or not existing.managed:
        return f"{user.name} has no managed account on this server: run a sync first"
    if existing.lock is not Lock.OPEN:
        return f"the account {user.name} is locked: run a sync first"
    return None
