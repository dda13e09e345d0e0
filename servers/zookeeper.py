"""A throw-away ZooKeeper, which the nodes of a ClickHouse cluster agree by."""

import shutil
import socket
import subprocess
from pathlib import Path

from servers.base import LocalServer, Missing
from servers.process import Account
from servers.template import cache_directory

_CONFIG = """tickTime=1000
dataDir={home}/data
clientPort={port}
clientPortAddress=127.0.0.1
admin.enableServer=false
4lw.commands.whitelist=srvr
"""


class ZooKeeper(LocalServer):
    """One ZooKeeper alone, from Debian's jars."""

    engine = "zookeeper"

    def __init__(self) -> None:
        java, self._jars = shutil.which("java"), cache_directory() / "zookeeper"
        if java is None or not (self._jars / ".complete").exists():
            raise Missing("Java or ZooKeeper is missing. Run `make setup` (or: tools/install_zookeeper.sh).")
        super().__init__(Path(java))
        self.account = Account()

    def _initialise(self, home: Path, password: str) -> None:  # noqa: ARG002 - it has no logins
        (home / "data").mkdir()

    def _command(self) -> list[str]:
        (self.home / "zoo.cfg").write_text(_CONFIG.format(home=self.home, port=self.port))
        return self._java("org.apache.zookeeper.server.ZooKeeperServerMain", str(self.home / "zoo.cfg"))

    def _java(self, *main: str) -> list[str]:
        path = ":".join(map(str, sorted(self._jars.glob("*.jar"))))
        small = ("-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
        return [str(self.program), *small, "-cp", path, *main]

    def delete(self, path: str) -> None:
        """Take an entry away with all below it, as a DBA does."""
        client = self._java("org.apache.zookeeper.ZooKeeperMain", "-server", f"{self.host}:{self.port}")
        subprocess.run([*client, "deleteall", path], check=True, capture_output=True, timeout=60)

    def _is_ready(self) -> bool:
        try:
            with socket.create_connection((self.host, self.port), timeout=5) as wire:
                wire.sendall(b"srvr")  # it says that it is there (ruok) before it serves anybody
                return b"Mode: standalone" in b"".join(iter(lambda: wire.recv(4096), b""))
        except OSError:
            return False

    def stored(self) -> bytes:
        """All that it has written to its disk: every change of every entry."""
        return b"".join(path.read_bytes() for path in sorted((self.home / "data").rglob("*")) if path.is_file())
