"""What a contract test works with: names of its own, handlers, and short ways to users and databases."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from dbroster.engines.base import Handler
from dbroster.model.plan import Action, Verb
from dbroster.model.roster import User
from dbroster.model.state import ExistingDatabase, ExistingUser, PasswordCheck
from dbroster.passwords.secret import Secret
from tests.contract.adapters import Adapter

PASSWORD = "Correct-horse-7-battery"
OTHER_PASSWORD = "Another-staple-8-pony"


class World:
    """One test's share of a server; `handler` synchronises the roster whose name is the prefix."""

    def __init__(self, adapter: Adapter, prefix: str, directory: Path) -> None:
        self.adapter = adapter
        self.prefix = prefix
        self.directory = directory
        self._handlers: list[Handler] = []
        adapter.spare_connections()

    def close(self) -> None:
        """Close every handler and remove everything that the test has made."""
        for handler in self._handlers:
            handler.close()
        self.adapter.wipe(self.prefix)

    @cached_property
    def handler(self) -> Handler:
        """A handler that is prepared for changes."""
        handler = self.open()
        handler.prepare()
        return handler

    def open(self, roster: str | None = None) -> Handler:
        """Open another handler, of the same roster or of another one."""
        handler = self.adapter.open(self.directory, roster or self.prefix)
        self._handlers.append(handler)
        return handler

    def other_roster(self) -> Handler:
        """Open a handler of another roster, prepared for changes."""
        handler = self.open(self.prefix + "2")
        handler.prepare()
        return handler

    # --- making things ------------------------------------------------------------------------------------------------

    def name(self, short: str) -> str:
        """A user name of this test."""
        return self.prefix + short

    def user(self, short: str = "bob", password: str = PASSWORD) -> str:
        """Create a managed user."""
        name = self.name(short)
        self.handler.create_user(name, Secret(password))
        return name

    def database(self, user: str, template: str = "web", handler: Handler | None = None) -> str:
        """Create a user's database with its privileges."""
        name = f"{user}_{template}"
        for action in self.claim(user, name):
            (handler or self.handler).perform(action)
        return name

    def claim(self, user: str, database: str) -> Sequence[Action]:
        """Actions for a new database, in the engine's order."""
        return [Action(verb, user, database) for verb in self.handler.creation_order]

    def foreign_user(self, short: str = "eve", password: str = PASSWORD) -> str:
        """Create an account by hand."""
        name = self.name(short)
        self.adapter.create_account_by_hand(name, password)
        return name

    # --- looking at things --------------------------------------------------------------------------------------------

    def existing_user(self, name: str, handler: Handler | None = None) -> ExistingUser | None:
        """What a handler says of an account."""
        return (handler or self.handler).get_existing_users().get(name)

    def existing_database(self, name: str, handler: Handler | None = None) -> ExistingDatabase | None:
        """What a handler says of a database."""
        return (handler or self.handler).get_existing_databases().get(name)

    def half_managed(self) -> list[str]:
        """Accounts of this test without the marker, as one query sees them: a dead client's statement may still run."""
        with self.open() as handler:
            existing = handler.get_existing_users()
        return [name for name, user in existing.items() if name.startswith(self.prefix) and not user.managed]

    def check(self, user: str, password: str) -> PasswordCheck:
        """Whether the server's password of an account is this one."""
        existing = self.handler.get_existing_users()
        return self.handler.check_passwords([User(user, Secret(password), 1)], existing)[user]


def actions(verb: Verb, users: Sequence[str], password: str = PASSWORD) -> list[Action]:
    """One action of a verb for each user, with a password where the verb takes one."""
    secret = Secret(password) if verb in (Verb.CREATE_USER, Verb.UPDATE_PASSWORD) else None
    return [Action(verb, user, None, secret) for user in users]
