"""Looking up a server's name within `connect_timeout`, which no driver and no C library keeps to."""

import socket
from queue import Empty, SimpleQueue
from threading import Thread

from dbroster.errors import ConnectError, Stalled
from dbroster.model.connection import Connection
from dbroster.model.loopback import is_address


def look_up(connection: Connection) -> None:
    """See that the host's name can be looked up in time; whatever else is wrong with it, the driver says.

    A thread asks, since nothing ends a lookup; it ends with the process. An address or a socket needs none, and the
    hosts that options name instead its driver looks up in threads of its own. Raises Stalled and ConnectError.
    """
    host = connection.host
    if connection.options.named_hosts or not _is_name(host):
        return
    answer: SimpleQueue[int] = SimpleQueue()
    Thread(target=_ask, args=(host, connection.port, answer), name="dbroster-lookup", daemon=True).start()
    try:
        code = answer.get(timeout=connection.connect_timeout)
    except Empty:
        seconds = f"{connection.connect_timeout} s, the `connect_timeout` in connections.yaml"
        raise Stalled(f"{host} could not be looked up within {seconds}: {_CURE}") from None
    if code == socket.EAI_AGAIN:  # to let the driver ask as well would take as long again
        raise ConnectError(f"{host} could not be looked up: {_CURE}")


_CURE = "does this machine's name resolver answer? An address as the host needs none"


def _is_name(host: str) -> bool:
    return not host.startswith("/") and not is_address(host.strip("[]"))


def _ask(host: str, port: int, answer: "SimpleQueue[int]") -> None:
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        answer.put(error.errno or 0)
    except (OSError, UnicodeError):
        answer.put(0)
    else:
        answer.put(0)
