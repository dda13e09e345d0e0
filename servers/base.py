"""What all servers have in common: `Server`, the interface, and `LocalServer`, a throw-away one of our own."""

import json
import re
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlencode

from servers import clients, template
from servers.guard import kill_tree
from servers.process import WATCHER, Account, account_for, free_port, launch, new_directory

PATIENCE = 60.0
"""Seconds that a server has for starting and for stopping."""


class Missing(RuntimeError):  # noqa: N818 - servers.Missing says it
    """A program that is needed is not installed; the text says what to do."""


class StartFailed(RuntimeError):  # noqa: N818 - servers.StartFailed says it
    """The server ended, or did not answer in time; the text ends with what it said last."""


class Server(ABC):
    """A database server that tests, demo and benchmarks may use, whoever has started it."""

    engine: str
    """postgresql, mysql, mariadb, mongodb or clickhouse."""
    host: str = "127.0.0.1"
    port: int = 0
    admin_user: str
    admin_password: str = ""
    ca: Path | None = None
    """The authority that signed the server's TLS certificate (for localhost and 127.0.0.1); None: no TLS."""
    secure: bool = False
    """Whether its port speaks nothing but TLS; only of a ClickHouse that somebody else runs."""
    directory: Path | None = None
    can_kill: bool
    """Whether kill(), stop() and log_files() have any effect."""
    client_program: str = ""
    """The native client; empty where the engine has none that could be installed."""

    @abstractmethod
    def start(self) -> Self:
        """Start, wait until it answers; nothing happens if it runs already."""

    @abstractmethod
    def stop(self) -> None:
        """End it in the orderly way; its data stay for the next start()."""

    @abstractmethod
    def kill(self) -> None:
        """SIGKILL it with all its processes, as if the machine had failed; its data stay for the next start()."""

    @abstractmethod
    def close(self) -> None:
        """Stop it and remove its directory."""

    @abstractmethod
    def log_files(self) -> list[Path]:
        """Every file into which the server writes what happens: error log, statement log, binary log."""

    def restart(self) -> None:
        """Stop and start on the same port and data."""
        self.stop()
        self.start()

    def logs_contain(self, text: str) -> bool:
        """Whether any log file holds the text (which may be a password that must not be there)."""
        return any(text.encode() in path.read_bytes() for path in self.log_files())

    def client(self, user: str, password: str, database: str, statement: str) -> subprocess.CompletedProcess[str]:
        """Run a statement in the engine's native client; the password is passed by the environment.

        An empty database means none, or the engine's default. MongoDB's statement is a command in JSON.
        """
        return clients.run(self, clients.Login(user, password, database), statement)

    def admin(self, statement: str, database: str = "") -> str:
        """Run a statement as the administrator and return what it prints; an error raises."""
        done = self.client(self.admin_user, self.admin_password, database, statement)
        if done.returncode != 0:
            raise RuntimeError(f"{self.engine}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout.strip()

    @property
    def told_version(self) -> str:
        """The version, as the running server says it, without what its packager adds."""
        if self.engine == "mongodb":
            return str(json.loads(self.admin('{"buildInfo": 1}'))["version"])
        said = self.admin("SHOW server_version" if self.engine == "postgresql" else "SELECT version()")
        return re.split("[ -]", said)[0]

    @property
    def url(self) -> str:
        """The address with the administrator's login, as $DBROSTER_TEST_... takes it."""
        login = f"{quote(self.admin_user, safe='')}:{quote(self.admin_password, safe='')}"
        query = f"?{urlencode({'ca': str(self.ca)})}" if self.ca else ""
        return f"{self.engine}://{login}@{self.host}:{self.port}{query}"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class LocalServer(Server):
    """A throw-away server: one process tree, one directory, one port of 127.0.0.1.

    `options` are settings of the server itself, spelt as in its configuration file. `durable` asks for honest
    synchronous writes to a disk (benchmarks); without it the server is as fast as it can be (tests).
    """

    can_kill = True
    stop_signal = signal.SIGTERM
    end_signal = signal.SIGKILL
    """The quickest end that leaves nothing behind, for a server whose data are removed anyway."""

    def __init__(self, program: Path, *, options: Mapping[str, str] | None = None, durable: bool = False) -> None:
        self.program = program
        self.options = dict(options or {})
        self.durable = durable
        self.account: Account = account_for(program)
        self.place: Path | None = None
        """Where its directory shall be, for those who don't want the usual place."""
        self.process: subprocess.Popen[bytes] | None = None
        self.home = Path()

    # --- what a subclass has to say -----------------------------------------------------------------------------------

    @abstractmethod
    def _initialise(self, home: Path, password: str) -> None:
        """Create the data directory `home`/data with its administrator."""

    @abstractmethod
    def _command(self) -> list[str]:
        """The command line that runs the server in the foreground."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Whether the running process answers by now."""

    def _initial_options(self) -> object:
        """Whatever makes one initialised data directory different from another."""
        return ()

    def describe(self) -> str:
        """Product and version, as its program says it."""
        said = subprocess.run([self.program, "--version"], capture_output=True, text=True, check=False)
        return said.stdout.strip().removeprefix(f"{self.program}").strip()

    # --- life ---------------------------------------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether its main process is alive."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> Self:
        """Start, wait until it answers; nothing happens if it runs already."""
        if self.is_running:
            return self
        fresh = self.directory is None
        if fresh:
            self._prepare()
        try:
            self._launch()
        except StartFailed:
            if not fresh:
                raise
            self.port = free_port()  # somebody may have taken it in the meantime
            self._launch()
        return self

    def stop(self) -> None:
        """End it in the orderly way; its data stay for the next start()."""
        self._end(self.stop_signal)

    def _end(self, number: signal.Signals) -> None:
        if self.process is None:
            return
        self.process.send_signal(number)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
        self._forget()

    def kill(self) -> None:
        """SIGKILL it with all its processes, as if the machine had failed; its data stay for the next start()."""
        if self.process is None:
            return
        kill_tree(self.process.pid)
        self.process.wait()
        self._forget()

    def close(self) -> None:
        """Stop it (at once, nobody needs its data any more) and remove its directory."""
        self._end(self.end_signal)
        if self.directory is not None:
            shutil.rmtree(self.home, ignore_errors=True)
            WATCHER.order(f"forget-directory {self.home}")
            self.directory = None

    def log_files(self) -> list[Path]:
        """Every file into which the server writes what happens."""
        return [path for path in (self._log, *self._more_logs()) if path.exists()]

    def _more_logs(self) -> list[Path]:
        return []

    @property
    def _log(self) -> Path:
        return self.home / "server.log"

    def _prepare(self) -> None:
        self.home = new_directory(durable=self.durable, place=self.place)
        self.directory = self.home
        WATCHER.order(f"directory {self.home}")
        self.account.own(self.home)
        program = self.program.stat()
        name = (
            f"{self.engine}-{template.digest(self.program, program.st_mtime_ns, self.account, self._initial_options())}"
        )
        content = template.digest([path.read_text() for path in sorted(Path(__file__).parent.glob("*.py"))])
        template.copy(name, content, self._initialise, self.account, self.home)
        self.admin_password = (self.home / template.PASSWORD_FILE).read_text()
        self.port = free_port()

    def _launch(self) -> None:
        with self._log.open("ab") as log:
            self.process = launch(self._command(), self.account, self.home, log)
        WATCHER.order(f"watch {self.process.pid} {int(self.end_signal)}")
        try:
            self._wait_for(self._is_ready)
            self._after_start()
        except BaseException:
            self.kill()
            raise

    def _after_start(self) -> None:
        """What a running server still needs at every start."""

    def _wait_for(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if not self.is_running or time.monotonic() > deadline:
                said = self._log.read_text(errors="replace")[-2000:]
                raise StartFailed(f"{self.engine} did not start on port {self.port}. It said last:\n{said}")
            time.sleep(0.02)

    def _accepts_connections(self) -> bool:
        try:
            socket.create_connection((self.host, self.port), timeout=5).close()
        except OSError:
            return False
        return True

    def _forget(self) -> None:
        if self.process is not None:
            WATCHER.order(f"forget {self.process.pid}")
            self.process = None
