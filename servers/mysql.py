"""A throw-away MySQL, and what MariaDB shares with it."""

import os
import shutil
import socket
import subprocess
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path

from servers.base import LocalServer, Missing
from servers.process import run
from servers.template import cache_directory

DEBIAN_PROGRAM = Path("/usr/sbin/mysqld")


def literal(text: str) -> str:
    """A string literal of MySQL and MariaDB."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


class MySQLFamily(LocalServer):
    """What MySQL and MariaDB have in common: options, logs, and the greeting that tells when they are ready."""

    admin_user = "root"

    @abstractmethod
    def _own_settings(self) -> dict[str, str]:
        """Settings that only this product has."""

    def _user_option(self) -> list[str]:
        # Neither product runs as root unless told in so many words.
        return ["--user=root"] if os.geteuid() == 0 and self.account.uid is None else []

    def _initial_options(self) -> object:
        # This one can never be changed once the data directory exists.
        return self.options.get("lower_case_table_names")

    def _initial_arguments(self, home: Path) -> list[str]:
        case = self.options.get("lower_case_table_names")
        return [*self._user_option(), f"--datadir={home}/data", *([f"--lower-case-table-names={case}"] if case else [])]

    def _admin_sql(self, password: str) -> str:
        """Give the administrator a password; he may log in with and without name resolution."""
        name, secret = f"'{self.admin_user}'@", literal(password)
        return (
            f"ALTER USER {name}'localhost' IDENTIFIED BY {secret};\n"
            f"CREATE OR REPLACE USER {name}'127.0.0.1' IDENTIFIED BY {secret};\n"
            f"GRANT ALL PRIVILEGES ON *.* TO {name}'127.0.0.1' WITH GRANT OPTION;\n"
        )

    def _command(self) -> list[str]:
        self.ca = self.home / "ca.pem"
        settings = self._settings() | self._own_settings() | self.options
        arguments = [f"--{name.replace('_', '-')}" + (f"={value}" if value else "") for name, value in settings.items()]
        return [str(self.program), *self._first_arguments(), *self._user_option(), *arguments]

    def _first_arguments(self) -> list[str]:
        return ["--no-defaults"]

    def _settings(self) -> dict[str, str]:
        fast = {} if self.durable else {"innodb_flush_log_at_trx_commit": "0", "innodb_doublewrite": "OFF"}
        return {
            "datadir": f"{self.home}/data",
            "tmpdir": str(self.home),
            "port": str(self.port),
            "bind_address": self.host,
            "socket": f"{self.home}/socket",
            "pid_file": f"{self.home}/pid",
            "ssl_ca": f"{self.home}/ca.pem",
            "ssl_cert": f"{self.home}/server.pem",
            "ssl_key": f"{self.home}/server.key",
            "general_log": "ON",
            "general_log_file": f"{self.home}/general.log",
            "log_bin": "binlog",
            "server_id": "1",
            "sync_binlog": "1" if self.durable else "0",
            "innodb_buffer_pool_size": "32M",
            **fast,
        }

    def _more_logs(self) -> list[Path]:
        return [self.home / "general.log", *sorted((self.home / "data").glob("binlog.[0-9]*"))]

    def _is_ready(self) -> bool:
        # The port is open early; the greeting comes when clients are served.
        try:
            with socket.create_connection((self.host, self.port), timeout=5) as connection:
                return bool(connection.recv(1))
        except OSError:
            return False


class MySQL(MySQLFamily):
    """MySQL as unpacked by tools/install_mysql.sh, or an installed one that is no MariaDB."""

    engine = "mysql"

    def __init__(self, *, options: Mapping[str, str] | None = None, durable: bool = False) -> None:
        program, self.client_program = mysql_programs()
        super().__init__(program, options=options, durable=durable)

    def _first_arguments(self) -> list[str]:
        # The unpacked one's wrapper says --no-defaults itself, and it has to come first.
        return [] if self.program.name == "mysqld-private" else super()._first_arguments()

    def _initialise(self, home: Path, password: str) -> None:
        statements = home / "init.sql"
        statements.write_text(self._admin_sql(password).replace("CREATE OR REPLACE USER", "CREATE USER"))
        self.account.own(home)
        arguments = [*self._initial_arguments(home), "--initialize-insecure", f"--init-file={statements}"]
        run([str(self.program), *self._first_arguments(), *arguments], self.account, home)
        statements.unlink()

    def _own_settings(self) -> dict[str, str]:
        return {"mysqlx": "OFF", "innodb_redo_log_capacity": "8M"}


def mysql_programs() -> tuple[Path, str]:
    """Server and client of MySQL."""
    private = cache_directory() / "mysql"
    if (private / "mysqld-private").exists():
        return private / "mysqld-private", str(private / "mysql-private")
    client = shutil.which("mysql")
    if client and DEBIAN_PROGRAM.exists():
        version = subprocess.run([DEBIAN_PROGRAM, "--version"], capture_output=True, text=True, check=False).stdout
        if "MariaDB" not in version:
            return DEBIAN_PROGRAM, client
    raise Missing("MySQL is not installed. Run `make setup`, which unpacks one into .cache/mysql.")
