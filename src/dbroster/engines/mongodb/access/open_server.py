"""Whether the server asks anybody for a login at all."""

import pymongo
from pymongo import MongoClient

from dbroster.engines.mongodb.accounts import Document
from dbroster.engines.mongodb.session import ADMIN, UNAUTHORIZED, Session, close_client, parameters, translated
from dbroster.errors import OperationError
from dbroster.model.connection import Connection

_LOGIN = {"username", "password", "authSource", "authMechanism"}


def access_control_is_off(session: Session, connection: Connection) -> bool:
    """Ask the server for its command line, which few may see; only if that tells nothing, try without a login."""
    try:
        security = session.command(ADMIN, {"getCmdLineOpts": 1})["parsed"].get("security", {})
    except OperationError as error:
        return error.code != UNAUTHORIZED and lets_everybody_in(connection)
    if security.get("authorization") == "enabled" and not security.get("transitionToAuth"):
        return False
    return lets_everybody_in(connection)


def lets_everybody_in(connection: Connection) -> bool:
    """Whether a client that has not logged in may list all databases. Raises ConnectError."""
    given = {key: value for key, value in parameters(connection, "").items() if key not in _LOGIN}
    with translated():
        client: MongoClient[Document] = MongoClient(**given)
    try:
        with translated((), f"{connection.host}:{connection.port}"), pymongo.timeout(connection.connect_timeout):
            client[ADMIN].command({"listDatabases": 1, "nameOnly": True})
    except OperationError:
        return False
    finally:
        close_client(client)
    return True
