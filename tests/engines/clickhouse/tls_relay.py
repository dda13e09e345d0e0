"""What terminates TLS in front of a server that has none, as a load balancer does."""

import socket
import ssl
from contextlib import suppress
from pathlib import Path
from select import select

from tests.contract.proxy import Proxy


class TlsRelay(Proxy):
    """A relay to a plain server, with the certificate for localhost that `make_certificates` has made.

    One thread for both directions of a connection: OpenSSL wants no two threads at one of its own.
    """

    def __init__(self, host: str, port: int, certificates: Path) -> None:
        super().__init__(host, port, None)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificates / "server.pem", certificates / "server.key")

    def _relay(self, client: socket.socket) -> None:
        self._start(self._serve, client)

    def _serve(self, plain: socket.socket) -> None:
        with (
            suppress(OSError, ValueError),  # a client that does not like the certificate; cut
            plain,
            self._tls.wrap_socket(plain, server_side=True) as client,
            self._connect() as server,
        ):
            with self._lock:
                self._open += [client, server]
            self._pump(client, server)

    def _pump(self, client: ssl.SSLSocket, server: socket.socket) -> None:
        while True:
            ready = [client] if client.pending() else select([client, server], [], [])[0]
            for end, other in ((client, server), (server, client)):
                if end in ready:
                    data = end.recv(1 << 16)
                    if not data:
                        return
                    self.messages += end is client
                    other.sendall(data)
