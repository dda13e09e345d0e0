"""The commands that make MongoDB's admin."""

from collections.abc import Sequence
from shlex import quote

from dbroster.engines.mongodb.access.admin_privileges import READER, admin_role, role_with_privileges
from dbroster.engines.mongodb.handout import uri
from dbroster.engines.mongodb.options import MongoDBOptions
from dbroster.engines.mongodb.session import ADMIN
from dbroster.engines.mongodb.state import shell_command
from dbroster.model.admin_script import AdminScript
from dbroster.model.connection import Connection

_ASSUMED = "MongoDB 8"


def assumed(connection: Connection, _templates: Sequence[str], password: str, _called: str) -> AdminScript:
    """The script for a server that could not be asked."""
    return script(connection, password, _ASSUMED, ADMIN, role_exists=False)


def script(connection: Connection, password: str, product: str, database: str, *, role_exists: bool) -> AdminScript:
    """The script for a server; `database` is where the admin logs in."""
    options = MongoDBOptions.of(connection)
    roles = [admin_role(), *([READER] if connection.removals.archive_dir else [])]
    create = {"createUser": connection.username, "pwd": password, "roles": roles}
    grant = {"grantRolesToUser": connection.username, "roles": roles}
    return AdminScript(
        product,
        shell_command(database, create),
        [shell_command(database, grant)],
        {},
        # a pipe would be asked for the password; bash and zsh give what is in the brackets as a file
        f"mongosh {quote(uri(connection, ADMIN, '', ADMIN))} --username root --file <({{script}})",
        first=[shell_command(ADMIN, role_with_privileges(options.auth_database, exists=role_exists))],
        comment="//",
    )
