"""The fake server, for the contract suite."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dbroster.engines.base import Handler
from dbroster.model.connection import Connection
from dbroster.model.state import Lock
from tests.contract.adapters import RULES, Adapter, Doomed, Refused
from tests.fake import FakeHandler, FakeServer, Killed, fake_connection
from tests.fake_server import Database


class FakeSession:
    """A login at the fake server."""

    def __init__(self, server: FakeServer, number: int) -> None:
        self._server, self._number = server, number

    def alive(self) -> bool:
        return self._number in self._server.sessions


class FakeAdapter(Adapter):
    """What DBA and users do at the fake server."""

    engine = "fake"
    kills = 10_000  # all of them
    death = Killed
    server: FakeServer

    def section(self) -> dict[str, object]:
        return {}

    def connection(self, directory: Path, roster: str) -> Connection:
        return fake_connection(self.server, roster=roster, rules=RULES)

    def connect(self, connection: Connection) -> Handler:
        return FakeHandler.open(connection)

    @contextmanager
    def doomed(self, after: int | None, *, answer_lost: bool = True, stalls: bool = False) -> Iterator[Doomed]:
        assert not stalls
        before = len(self.server.log)
        if after is not None:
            self.server.kill(after, answer_lost=answer_lost)
        try:
            yield Doomed(
                self.connect,
                lambda: len(self.server.log) - before,
                lambda messages: self.server.kill(messages, answer_lost=answer_lost),
            )
        except Killed:
            pass
        finally:
            self.server.revive()

    # --- by hand ------------------------------------------------------------------------------------------------------

    def create_account_by_hand(self, user: str, password: str) -> None:
        self.server.add_account(user, password)

    def create_database_by_hand(self, database: str) -> None:
        self.server.add_database(database)

    def drop_account_by_hand(self, user: str) -> None:
        del self.server.accounts[user]

    def drop_database_by_hand(self, database: str) -> None:
        del self.server.databases[database]

    def lock_by_hand(self, user: str) -> None:
        self.server.accounts[user].lock = Lock.FOREIGN

    def clear_password_by_hand(self, user: str) -> None:
        self.server.accounts[user].stored = None

    def revoke_by_hand(self, user: str, database: str) -> None:
        self.server.databases[database].users.discard(user)

    def share_by_hand(self, user: str, database: str) -> None:
        self.server.databases[database].users.add(user)

    def rename_account_by_hand(self, user: str, new: str) -> None:
        self.server.accounts[new] = self.server.accounts.pop(user)

    def rename_database_by_hand(self, database: str, new: str) -> None:
        self.server.databases[new] = self.server.databases.pop(database)

    def hand_over_by_hand(self, user: str, database: str) -> None:
        self.server.databases[database] = Database(users={user})

    def strip_by_hand(self, user: str) -> None:
        for database in self.server.databases.values():
            database.users.discard(user)

    @contextmanager
    def hold_lock_as(self, user: str, password: str) -> Iterator[None]:
        with self._login(user, password) as number:
            self.server.lock_holder = number
            yield

    def accounts(self) -> set[str]:
        return set(self.server.accounts)

    def databases(self) -> set[str]:
        return set(self.server.databases)

    def fingerprint(self, user: str) -> str:
        used = sorted(name for name, database in self.server.databases.items() if user in database.users)
        return f"{self.server.accounts[user]} {used}"

    def end_connections(self) -> None:
        for session in list(self.server.sessions):
            self.server.disconnect(session)

    def wipe(self, prefix: str) -> None:
        for name in [name for name in self.server.databases if name.startswith(prefix)]:
            del self.server.databases[name]
        for name in [name for name in self.server.accounts if name.startswith(prefix)]:
            del self.server.accounts[name]

    # --- what the server says of a run --------------------------------------------------------------------------------

    @contextmanager
    def changes(self) -> Iterator[list[str]]:
        before = len(self.server.changes())
        found: list[str] = []
        yield found
        found += [statement.text for statement in self.server.changes()[before:]]

    def log_text(self) -> str:
        return repr(self.server.log)

    # --- as a user ----------------------------------------------------------------------------------------------------

    @contextmanager
    def session(self, user: str, password: str) -> Iterator[FakeSession]:
        with self._login(user, password) as number:
            yield FakeSession(self.server, number)

    def put(self, user: str, password: str, database: str, text: str) -> None:
        with self._login(user, password) as number:
            self.server.open_database(number, database).rows.append(text)

    def get(self, user: str, password: str, database: str) -> list[str]:
        with self._login(user, password) as number:
            return list(self.server.open_database(number, database).rows)

    def give_away(self, user: str, password: str, database: str, receiver: str) -> None:
        """Users of the fake server have no statement for that."""

    def visible(self, user: str, password: str) -> set[str]:
        with self._login(user, password):
            return {name for name, database in self.server.databases.items() if user in database.users}

    @contextmanager
    def _login(self, user: str, password: str) -> Iterator[int]:
        try:
            with self.server.login(user, password) as number:
                yield number
        except PermissionError as error:
            raise Refused(str(error)) from None
