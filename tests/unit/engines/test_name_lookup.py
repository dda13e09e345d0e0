"""The name of a server is looked up within `connect_timeout`, and nothing waits for the lookup at the end."""

import socket
import subprocess
import sys

import pytest

from dbroster.engines import ENGINES
from dbroster.engines.mongodb.options import MongoDBOptions
from dbroster.engines.name_lookup import look_up
from dbroster.errors import ConnectError
from dbroster.model.connection import Connection
from dbroster.passwords.secret import Secret
from tests.support.bounded import within

PROGRAM = """
import socket, sys, threading
from dbroster.model.connection import Connection
from dbroster.engines import connect
from dbroster.errors import ConnectError
from dbroster.passwords.secret import Secret

socket.getaddrinfo = lambda *_, **__: threading.Event().wait(60)  # as with a resolver that does not answer
try:
    connect(Connection(sys.argv[1], "default", "db.example.test", 1, "admin", Secret("secret"), connect_timeout=1))
except ConnectError as error:
    print(error)
"""


@pytest.mark.parametrize("engine", ENGINES)
def test_a_silent_resolver_ends_the_wait_for_a_name(engine: str) -> None:
    """C1: the C library waits as long as resolv.conf says, here a minute; the process ends as well."""
    with within(20):
        done = subprocess.run([sys.executable, "-c", PROGRAM, engine], capture_output=True, text=True, check=True)
    assert "db.example.test could not be looked up within 1 s, the `connect_timeout`" in done.stdout


def to(host: str, **options: str) -> Connection:
    return Connection("mongodb", "default", host, 1, "admin", Secret("secret"), options=MongoDBOptions(**options))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "[::1]", "fe80::1%eth0", "/run/postgresql"])
def test_an_address_or_a_socket_is_not_looked_up(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """C1: so no thread is started, and nothing can be slow."""
    monkeypatch.setattr("threading.Thread.start", None)
    look_up(to(host))
    look_up(to("localhost", uri="mongodb://one.example.test,two.example.test/"))


def test_a_resolver_that_gives_up_is_not_asked_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """C1: the driver would wait as long once more."""

    def give_up(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", give_up)
    with pytest.raises(ConnectError, match=r"db\.example\.test could not be looked up: does"):
        look_up(to("db.example.test"))


@pytest.mark.parametrize("host", ["localhost", "a..b", "x" * 70 + ".test"])
def test_what_else_is_wrong_with_a_name_the_driver_says(host: str) -> None:
    """C1: only the wait is ended here."""
    look_up(to(host))
