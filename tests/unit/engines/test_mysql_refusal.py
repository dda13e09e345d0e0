"""What is said of a login that MySQL or MariaDB denies: what the server does not say itself."""

import socket
from threading import Thread

import pytest

from dbroster.engines import connect
from dbroster.errors import ConnectError
from dbroster.model.connection import Connection
from dbroster.passwords.secret import Secret

WITHOUT_TLS = 0x0008A200  # protocol 4.1, secure authentication, plugins; no CLIENT_SSL
GREETING = (
    b"\n10.11.18-MariaDB\0\1\0\0\0abcdefgh\0"
    + (WITHOUT_TLS & 0xFFFF).to_bytes(2, "little")
    + b"\x2d\2\0"
    + (WITHOUT_TLS >> 16).to_bytes(2, "little")
    + b"\x15"
    + bytes(10)
    + b"abcdefghijkl\0mysql_native_password\0"
)
DENIED = (
    b"\xff" + (1045).to_bytes(2, "little") + b"#28000Access denied for user 'adm'@'localhost' (using password: YES)"
)


def test_a_server_without_tls_may_want_it_all_the_same() -> None:
    """D7: an account that REQUIREs SSL, on a server that offers none, is denied in the words for a wrong password."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def deny() -> None:
            way, _ = listener.accept()
            with way:
                way.sendall(len(GREETING).to_bytes(3, "little") + b"\0" + GREETING)
                way.recv(65536)
                way.sendall(len(DENIED).to_bytes(3, "little") + b"\2" + DENIED)

        (thread := Thread(target=deny)).start()
        with pytest.raises(ConnectError) as caught:
            connect(Connection("mysql", "default", "127.0.0.1", listener.getsockname()[1], "adm", Secret("x")))
        thread.join()
    assert "the server offers no TLS: does the account REQUIRE SSL?" in str(caught.value)
    assert "is the password right? " in str(caught.value)
    assert "anonymous account" in str(caught.value)
