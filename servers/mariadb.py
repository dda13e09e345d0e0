"""A throw-away MariaDB."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from servers.base import Missing
from servers.mysql import MySQLFamily
from servers.process import given_programs, run


def mariadb_program(name: str) -> str:
    """One of MariaDB's programs; ordinary users often lack the servers' directory on their PATH.

    $DBROSTER_TEST_MARIADB_BIN names the directory of another version.
    """
    usual = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin"
    program = shutil.which(name, path=str(given_programs("mariadb") or usual))
    if not program:
        raise Missing(f"MariaDB is not installed ({name}). Run `make setup` (or: apt-get install mariadb-server).")
    return program


class MariaDB(MySQLFamily):
    """The installed MariaDB, with the plug-in for ed25519 logins loaded."""

    engine = "mariadb"

    def __init__(self, *, options: Mapping[str, str] | None = None, durable: bool = False) -> None:
        self._installer = mariadb_program("mariadb-install-db")
        self.client_program = mariadb_program("mariadb")
        super().__init__(Path(mariadb_program("mariadbd")), options=options, durable=durable)

    def _initialise(self, home: Path, password: str) -> None:
        statements = home / "init.sql"
        statements.write_text("FLUSH PRIVILEGES;\n" + self._admin_sql(password))  # loads the privileges that it changes
        self.account.own(home)
        installed = [*self._initial_arguments(home), "--auth-root-authentication-method=normal", "--skip-test-db"]
        run([self._installer, "--no-defaults", *installed], self.account, home)
        # By hand, since 10.5's installer knows no --extra-file.
        bootstrap = [str(self.program), "--no-defaults", *self._initial_arguments(home), "--bootstrap"]
        run(bootstrap, self.account, home, statements)
        statements.unlink()

    def _own_settings(self) -> dict[str, str]:
        return {"plugin_load_add": "auth_ed25519"}
