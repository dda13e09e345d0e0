"""PyMySQL's connection with an end to every wait: for the whole login, for each statement, and from another thread.

The one place that imports PyMySQL. `cryptography`, which takes as long to import as all the rest of it, is needed for
logins without TLS only, and imported by the first one.
"""

import importlib
import socket
import sys
import threading
from contextlib import suppress
from types import ModuleType
from typing import TYPE_CHECKING, Any


def _without_cryptography() -> ModuleType:
    """Import PyMySQL as if there were no `cryptography`."""
    hidden = {} if "cryptography" in sys.modules else {"cryptography": None}
    sys.modules |= hidden  # type: ignore[arg-type]  # None: an import of it fails
    try:
        return importlib.import_module("pymysql._auth")
    finally:
        for name in hidden:
            del sys.modules[name]


_auth = _without_cryptography()

import pymysql  # noqa: E402 - after the above
from pymysql.connections import Connection as PyMySQLConnection  # noqa: E402
from pymysql.constants import CLIENT  # noqa: E402
from pymysql.cursors import DictCursor, SSDictCursor  # noqa: E402

__all__ = ["CLIENT", "DictCursor", "Driver", "SSDictCursor", "pymysql"]


def _encrypt(password: bytes, salt: bytes, public_key: bytes) -> Any:
    """Encrypt a password for a login without TLS, by the driver's own function: with `cryptography`, if it is there."""
    return importlib.reload(_auth).sha2_rsa_encrypt(password, salt, public_key)


_auth.sha2_rsa_encrypt = _encrypt  # type: ignore[attr-defined]  # until it has loaded the other one

if TYPE_CHECKING:
    _Base = PyMySQLConnection[Any]
else:
    _Base = PyMySQLConnection


class Driver(_Base):
    """One connection; a second handle on its socket breaks whatever it waits for, a TLS handshake included."""

    def __init__(self, **options: Any) -> None:
        self._lifeline: socket.socket | None = None
        self.expired = False
        super().__init__(**options, defer_connect=True)

    def log_in(self, seconds: float) -> None:
        """Connect and log in, all of it within so many seconds. Raises what the driver raises."""
        timer = threading.Timer(seconds, self._expire)
        timer.daemon = True
        timer.start()
        try:
            self.connect()
        finally:
            timer.cancel()

    def offers_tls(self) -> bool:
        """Whether the server's greeting has offered TLS."""
        return bool(getattr(self, "server_capabilities", 0) & CLIENT.SSL)

    def was_greeted(self) -> bool:
        """Whether the server has said who it is."""
        return bool(getattr(self, "server_capabilities", 0))

    def break_off(self) -> None:
        """End what the connection waits for. From any thread; never raises, never blocks."""
        lifeline = self._lifeline
        if lifeline is not None:
            with suppress(OSError):
                lifeline.shutdown(socket.SHUT_RDWR)

    def _expire(self) -> None:
        self.expired = True
        self.break_off()

    def _get_server_information(self) -> None:
        """Keep the second handle before the first answer is waited for; PyMySQL calls this on each new socket."""
        self._lifeline = self._sock.dup()  # type: ignore[attr-defined]  # not in the stubs
        if self.expired:
            raise pymysql.OperationalError(2013, "the time for the login is over")
        super()._get_server_information()  # type: ignore[misc]  # not in the stubs

    def _force_close(self) -> None:
        super()._force_close()  # type: ignore[misc]  # not in the stubs
        lifeline, self._lifeline = getattr(self, "_lifeline", None), None
        if lifeline is not None:
            lifeline.close()

    def close(self) -> None:
        """Say good-bye and close both handles."""
        try:
            super().close()
        finally:
            self._force_close()

    __del__ = _force_close
