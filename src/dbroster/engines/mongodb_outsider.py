"""A client of MongoDB that has not logged in: it tells whether access control is on, and its connection is the lock."""

from typing import Self

from pymongo import MongoClient

from dbroster.config import Connection
from dbroster.engines.mongodb_accounts import Document
from dbroster.engines.mongodb_session import ADMIN, parameters, translated
from dbroster.errors import OperationError

_LOGIN = {"username", "password", "authSource", "authMechanism"}


class Outsider:
    """An open connection without login; `role` is what other clients see of it."""

    def __init__(self, connection: Connection, role: str = "") -> None:
        """Connect, and try what only a client that has logged in may do. Raises ConnectError."""
        given = {key: value for key, value in parameters(connection, role).items() if key not in _LOGIN}
        with translated():
            self._client: MongoClient[Document] = MongoClient(**given)
        try:
            self.let_in = self._is_let_in()
        except BaseException:
            self._client.close()
            raise

    def close(self) -> None:
        """End the connection; never raises."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _is_let_in(self) -> bool:
        try:
            with translated():
                self._client[ADMIN].command({"listDatabases": 1, "nameOnly": True})
        except OperationError:
            return False
        return True


def lets_everybody_in(connection: Connection) -> bool:
    """Whether access control is off: then a client that has not logged in may list all databases."""
    with Outsider(connection) as outsider:
        return outsider.let_in
