"""New names by archives, for accounts that have no roles but those on their databases."""

from collections.abc import Callable, Iterator, Sequence

from dbroster.engines.renamer import Archiving, Renamer, given_elsewhere


class MongoDBRenamer(Renamer):
    """By archives; `beside` tells an account's roles on other databases than these."""

    def __init__(self, handler: Archiving, beside: Callable[[str, Sequence[str]], Sequence[tuple[str, str]]]) -> None:
        super().__init__(handler)
        self._beside = beside

    def obstacles(self, user: str, databases: Sequence[str]) -> Iterator[str]:
        """Beside what an archive does not hold, roles that a DBA has given."""
        roles = self._beside(user, databases)
        yield from given_elsewhere(user, [f"the role {role} on {database}" for role, database in roles])
        yield from super().obstacles(user, databases)
