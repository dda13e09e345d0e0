"""Archives of the engine in memory: the rows of a database as JSON."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar

from dbroster.archive import Archive, Draft
from dbroster.engines.archiver import Archiver
from dbroster.errors import OperationError
from dbroster.model.connection import Connection
from dbroster.model.roster import User
from tests.fake_server import Database, FakeServer


class FakeArchiver(Archiver):
    """Archives what `owned` finds: it raises OperationError for a database that is not the user's."""

    extension: ClassVar[str] = "rows"
    method: ClassVar[str] = "json"

    def __init__(self, connection: Connection, fake: FakeServer, owned: Callable[[str, str], Database]) -> None:
        super().__init__(connection)
        self._fake, self._owned = fake, owned

    def missing(self) -> list[str]:
        return list(self._fake.missing_tools)

    def close(self, user: str, database: str) -> None:
        self._owned(user, database).users.clear()

    def dump(self, user: str, database: str, draft: Draft) -> None:
        rows = self._owned(user, database).rows
        draft.file.write(json.dumps(rows).encode())
        draft.counts["rows"] = len(rows)

    def is_empty(self, user: User, database: str) -> bool:
        with self._login(user) as number:
            return not self._fake.open_database(number, database).rows

    def restore(self, archive: Archive, user: User, database: str) -> None:
        try:
            rows = json.loads(archive.path.read_bytes())
        except ValueError as error:
            raise OperationError(f"the archive is damaged: {error}") from None
        with self._login(user) as number:
            self._fake.open_database(number, database).rows.extend(rows)

    @contextmanager
    def _login(self, user: User) -> Iterator[int]:
        try:
            with self._fake.login(user.name, user.password.reveal()) as number:
                yield number
        except PermissionError as error:
            raise OperationError(str(error)) from None
