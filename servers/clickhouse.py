"""A throw-away ClickHouse: the stand-in, as a process of its own."""

import importlib.util
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from servers.base import LocalServer, Missing
from servers.process import Account

MUCH = 2 * 1024**3
"""Bytes."""


class ClickHouse(LocalServer):
    """ClickHouse's engine behind the stand-in's HTTP server; no TLS.

    Its options: `password_pattern`, a regular expression that plain passwords must match; `shows_secrets`, "1" for
    display_secrets_in_show_and_select.
    """

    engine = "clickhouse"
    admin_user = "default"

    def __init__(self, *, options: Mapping[str, str] | None = None, durable: bool = False) -> None:
        if not importlib.util.find_spec("chdb"):
            raise Missing("ClickHouse's engine is not installed. Run `make setup` (or: pip install chdb-core).")
        super().__init__(Path(sys.executable), options=options, durable=durable)
        self.account = Account()  # it needs this environment's packages, which others may not be able to read

    def _initialise(self, home: Path, password: str) -> None:
        """Nothing to do: an empty directory will do."""

    def _command(self) -> list[str]:
        arguments = {
            "port": str(self.port),
            "directory": f"{self.home}/data",
            "admin-password-file": f"{self.home}/admin_password",
            "statement-log": str(self._statements),
            **{name.replace("_", "-"): value for name, value in self.options.items()},
        }
        module = [str(self.program), "-m", "servers.clickhouse_standin"]
        path = f"PYTHONPATH={Path(__file__).resolve().parent.parent}"
        return ["/usr/bin/env", path, *module, *(f"--{name}={value}" for name, value in arguments.items())]

    def _more_logs(self) -> list[Path]:
        return [self._statements]

    @property
    def _statements(self) -> Path:
        return self.home / "statements.log"

    def _is_ready(self) -> bool:
        return self._accepts_connections()

    def restart_if_grown(self) -> None:
        """Restart when it holds much memory: the engine gives none back when it is reopened for another user."""
        if self.process is None:
            return
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        if pages * os.sysconf("SC_PAGE_SIZE") > MUCH:
            self.restart()
